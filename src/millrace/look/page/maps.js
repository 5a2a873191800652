// A layer's maps beside each other, in one scale of colours, with their numbers under the pointer.

import { ask, unpack } from "/ask.js";
import { make } from "/make.js";
import { css, measure, paint, paintColours, shade } from "/paint.js";
import { number, say } from "/words.js";

const AT_ONCE = innerWidth < 600 ? 12 : 24;

/** The scale: its colours and the numbers at its ends. */
export function scale(low, high) {
  const strip = make("canvas", { class: "strip", "aria-hidden": "true" });
  const numbers = Float32Array.from({ length: 64 }, (_, n) => low + ((high - low) * n) / 63);
  paint(strip, numbers, 1, 64, low, high);
  return make("p", { class: "scale" }, make("span", {}, number(low)), strip, make("span", {}, number(high)),
    make("span", { class: "unseen" }, say("scale", { low: number(low), high: number(high) })));
}

/** All maps of a layer; `choose(n)` is called for the one that is pressed. */
export async function showMaps(place, layer, chosen, choose) {
  const readout = make("p", { class: "readout", "aria-hidden": "true" }, say("readout_hint"));
  const grid = make("ul", { class: layer.form === "units" ? "maps units" : "maps" });
  const more = make("button", { type: "button", class: "more-maps" });
  const answer = await ask("maps", { name: layer.name, first: 0, count: layer.form === "units" ? 64 : AT_ONCE });
  const add = (given) => {
    const [height, width] = given.size;
    const numbers = unpack(given.numbers);
    if (layer.colour && given.count === 3) grid.append(photograph(layer, numbers, height, width));
    for (let n = 0; n < given.count; n++) {
      const map = numbers.subarray(n * height * width, (n + 1) * height * width);
      grid.append(make("li", {}, one(layer, map, given.first + n, height, width, given, chosen, choose, readout)));
    }
    const next = given.first + given.count;
    more.hidden = next >= given.total;
    more.textContent = say("more_maps", { count: Math.min(AT_ONCE, given.total - next), total: given.total });
    more.onclick = async () => {
      const following = await ask("maps", { name: layer.name, first: next, count: AT_ONCE });
      const before = grid.children.length;
      add(following);
      grid.children[before]?.querySelector("button, canvas")?.focus();
    };
  };
  add(answer);
  place.replaceChildren(scale(answer.low, answer.high), grid, readout, more);
}

function photograph(layer, numbers, height, width) {
  const canvas = make("canvas", { role: "img", "aria-label": say("in_colours") });
  const size = height * width;
  paintColours(canvas, [0, 1, 2].map((c) => numbers.subarray(c * size, (c + 1) * size)), height, width, layer.colour);
  return make("li", {}, make("div", { class: "map" }, canvas, make("span", { class: "tag" }, say("in_colours"))));
}

function one(layer, numbers, n, height, width, given, chosen, choose, readout) {
  const found = measure(numbers, width);
  if (layer.form === "units" || layer.form === "number") {
    const unit = make("span", { class: "unit", "aria-hidden": "true" });
    unit.style.background = css(shade(numbers[0], given.low, given.high));
    const text = say("unit_value", { unit: n + 1, value: number(numbers[0]) });
    const button = make("button", { type: "button", class: "map", "aria-pressed": String(n === chosen), "data-map": n, "aria-label": text }, unit,
      make("span", { class: "tag" }, number(numbers[0])));
    button.addEventListener("click", () => choose(n));
    for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, () => (readout.textContent = text));
    return button;
  }
  const canvas = make("canvas", { "aria-hidden": "true" });
  if (layer.form === "steps" && width > 1) canvas.classList.add("wide");
  paint(canvas, numbers, height, width, given.low, given.high);
  const told = say("map_label", { map: n + 1, mean: number(found.mean), low: number(found.low), high: number(found.high), row: found.row, column: found.column });
  const button = make("button", { type: "button", class: "map", "aria-pressed": String(n === chosen), "data-map": n, "aria-label": told }, canvas,
    make("span", { class: "tag" }, layer.form === "steps" ? "" : String(n + 1)));
  button.addEventListener("click", () => choose(n));
  button.addEventListener("focus", () => (readout.textContent = told));
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const row = Math.min(Math.floor(((event.clientY - box.y) / box.height) * height), height - 1);
    const column = Math.min(Math.floor(((event.clientX - box.x) / box.width) * width), width - 1);
    if (row < 0 || column < 0) return;
    const word = layer.form === "steps" && layer.words[row] ? ` “${layer.words[row]}”` : "";
    readout.textContent = say("pixel", { map: n + 1, row: row + 1, column: column + 1, value: number(numbers[row * width + column]) }) + word;
  });
  return button;
}
