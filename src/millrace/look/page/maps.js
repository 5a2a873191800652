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

/** All maps of a layer, some at a time. */
export class Maps {
  /** names: of the units, where they are classes. chosen(): which map is looked at. choose(n): called for one pressed. */
  constructor(place, layer, names, chosen, choose) {
    Object.assign(this, { place, layer, names, chosen, choose, shown: 0, turn: 0 });
    this.readout = make("p", { class: "readout", "aria-hidden": "true" }, say("readout_hint"));
    this.grid = make("ul", { class: layer.form === "units" ? "maps units" : "maps" });
    this.more = make("button", { type: "button", class: "more-maps", onclick: () => this.goOn() });
  }

  ask(first, count) {
    return ask("maps", { name: this.layer.name, first, count });
  }

  async show() {
    const mine = ++this.turn;
    const given = await this.ask(0, this.layer.form === "units" ? 64 : AT_ONCE);
    this.scale = scale(given.low, given.high);
    this.add(given);
    this.place.replaceChildren(this.scale, this.grid, this.readout, this.more);
    if (mine !== this.turn) await this.refill(); // numbers were changed while the answer was on its way
  }

  /** Those that are shown, made anew: numbers of the network were changed. */
  async refill() {
    const mine = ++this.turn, parts = [];
    for (let first = 0; first < this.shown; first += parts.at(-1).count) parts.push(await this.ask(first, this.shown - first));
    if (mine !== this.turn || !parts.length) return;
    const focused = this.grid.contains(document.activeElement) ? document.activeElement.dataset.map : null;
    const made = scale(parts[0].low, parts[0].high);
    this.scale.replaceWith(made);
    this.scale = made;
    this.grid.replaceChildren();
    for (const part of parts) this.add(part);
    this.readout.textContent = say("readout_hint");
    if (focused) this.grid.querySelector(`[data-map="${focused}"]`)?.focus();
  }

  add(given) {
    const [height, width] = given.size;
    const numbers = unpack(given.numbers);
    if (this.layer.colour && given.count === 3) this.grid.append(photograph(this.layer, numbers, height, width));
    for (let n = 0; n < given.count; n++) {
      const map = numbers.subarray(n * height * width, (n + 1) * height * width);
      this.grid.append(make("li", {}, this.one(map, given.first + n, height, width, given)));
    }
    this.shown = given.first + given.count;
    this.more.hidden = this.shown >= given.total;
    this.more.textContent = say("more_maps", { count: Math.min(AT_ONCE, given.total - this.shown), total: given.total });
  }

  async goOn() {
    const mine = ++this.turn, before = this.grid.children.length;
    const given = await this.ask(this.shown, AT_ONCE);
    if (mine !== this.turn) return;
    this.add(given);
    this.grid.children[before]?.querySelector("button, canvas")?.focus();
  }

  one(numbers, n, height, width, given) {
    const { form } = this.layer;
    return form === "units" || form === "number" ? this.unit(numbers[0], n, given) : this.map(numbers, n, height, width, given);
  }

  button(n, label, ...parts) {
    const button = make("button", { type: "button", class: "map", "aria-pressed": String(n === this.chosen()), "data-map": n, "aria-label": label }, ...parts);
    button.addEventListener("click", () => this.choose(n));
    button.addEventListener("focus", () => (this.readout.textContent = label));
    return button;
  }

  unit(value, n, given) {
    const name = this.names[n];
    const circle = make("span", { class: "unit", "aria-hidden": "true" });
    circle.style.background = css(shade(value, given.low, given.high));
    const told = name === undefined ? say("unit_value", { unit: n + 1, value: number(value) }) : say("class_value", { name, value: number(value) });
    const button = this.button(n, told, name === undefined ? null : make("span", { class: "tag class" }, name), circle, make("span", { class: "tag" }, number(value)));
    button.addEventListener("pointerenter", () => (this.readout.textContent = told));
    return button;
  }

  map(numbers, n, height, width, given) {
    const { form, words } = this.layer, found = measure(numbers, width);
    const canvas = make("canvas", { "aria-hidden": "true" });
    if (form === "steps" && width > 1) canvas.classList.add("wide");
    paint(canvas, numbers, height, width, given.low, given.high);
    const told = say("map_label", { map: n + 1, mean: number(found.mean), low: number(found.low), high: number(found.high), row: found.row, column: found.column });
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const row = Math.min(Math.floor(((event.clientY - box.y) / box.height) * height), height - 1);
      const column = Math.min(Math.floor(((event.clientX - box.x) / box.width) * width), width - 1);
      if (row < 0 || column < 0) return;
      const word = form === "steps" && words[row] ? ` “${words[row]}”` : "";
      this.readout.textContent = say("pixel", { map: n + 1, row: row + 1, column: column + 1, value: number(numbers[row * width + column]) }) + word;
    });
    return this.button(n, told, canvas, make("span", { class: "tag" }, form === "steps" ? "" : String(n + 1)));
  }
}

function photograph(layer, numbers, height, width) {
  const canvas = make("canvas", { role: "img", "aria-label": say("in_colours") });
  const size = height * width;
  paintColours(canvas, [0, 1, 2].map((c) => numbers.subarray(c * size, (c + 1) * size)), height, width, layer.colour);
  return make("li", {}, make("div", { class: "map" }, canvas, make("span", { class: "tag" }, say("in_colours"))));
}
