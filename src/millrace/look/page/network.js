// The network as circles and arrows: a row for each layer, a button each.

import { css, shade } from "/paint.js";
import { drawn, make } from "/make.js";
import { say, sizes } from "/words.js";

const RADIUS = 14;

/** Rows of calls, each as deep as the deepest that it takes from. */
export function levels(calls) {
  const depth = new Map();
  const rows = [];
  for (const call of calls) {
    const level = 1 + Math.max(-1, ...call.inputs.map((name) => depth.get(name) ?? 0));
    depth.set(call.name, level);
    (rows[level] ??= []).push(call);
  }
  return rows;
}

/** A class's name in parts between which a line may break. */
function parts(kind) {
  return kind.split(/(?<=[a-z0-9])(?=[A-Z])/).flatMap((part, n) => (n ? [make("wbr"), part] : [part]));
}

export class Drawing {
  constructor(place, open) {
    this.place = place;
    this.open = open;
    this.buttons = new Map();
    this.arrows = drawn("svg", { class: "arrows", "aria-hidden": "true" });
    new ResizeObserver(() => this.join()).observe(place);
    place.addEventListener("keydown", (event) => this.step(event));
  }

  /** Draw the calls, or fill their circles anew. */
  show(network) {
    this.calls = network.calls;
    if (!this.buttons.size) {
      const list = make("ol", { class: "rows" });
      for (const row of levels(network.calls)) {
        list.append(make("li", { class: row.length > 1 ? "row side" : "row" }, ...row.map((call) => this.button(call))));
      }
      this.place.replaceChildren(this.arrows, list);
    }
    for (const call of network.calls) {
      const old = this.buttons.get(call.name).querySelector("svg");
      old.replaceWith(this.circles(call, network));
    }
    this.join();
  }

  button(call) {
    const spoken = say("layer_label", {
      name: call.name, kind: call.kind, shape: sizes(call.shape), parameters: call.parameters.toLocaleString("en"),
    });
    const button = make("button", { type: "button", class: "layer", "data-layer": call.name, onclick: () => this.open(call.name) },
      make("span", { class: "unseen" }, spoken),
      make("span", { class: "told", "aria-hidden": "true" },
        make("b", {}, call.name),
        make("span", { class: "kind" }, ...parts(call.kind)),
        make("span", { class: "shape" }, sizes(call.shape)),
      ),
      drawn("svg"),
    );
    this.buttons.set(call.name, button);
    return button;
  }

  circles(call, network) {
    const step = 2 * RADIUS + 4;
    const more = call.count - call.dots.length;
    const gap = call.towers > 1 ? 10 : 0; // towers stand apart
    const width = call.dots.length * step + (more > 0 ? 40 : 0) + gap * (call.towers - 1);
    const left = (n) => n * step + gap * Math.floor((n * call.towers) / call.dots.length);
    const svg = drawn("svg", { class: "circles", viewBox: `0 0 ${width} ${step}`, width, height: step, "aria-hidden": "true" });
    const last = call.form === "units" && call.name === network.bars.layer ? network.bars.names : [];
    call.dots.forEach((dot, n) => {
      const x = left(n) + step / 2;
      const y = step / 2;
      const circle = drawn("circle", { cx: x, cy: y, r: RADIUS, class: "unit" });
      const zero = call.form === "steps" ? 0 : call.zero;
      circle.style.fill = css(shade((dot.thumb ? zero : dot.value) - zero, -zero, 1 - zero));
      svg.append(circle);
      if (dot.thumb) svg.append(this.picture(dot, call, x, y, svg, n));
      else if (last[n] && last[n].length <= 2) {
        svg.append(drawn("text", { x, y: y + 4, class: dot.value > 0.5 ? "in-circle strong" : "in-circle" }, last[n]));
      }
    });
    if (more > 0) svg.append(drawn("text", { x: left(call.dots.length - 1) + step + 4, y: step / 2 + 4, class: "more" }, `+${more}`));
    return svg;
  }

  picture(dot, call, x, y, svg, n) {
    const [height, width] = dot.size;
    const bytes = Uint8Array.from(atob(dot.thumb), (letter) => letter.charCodeAt(0));
    const canvas = make("canvas", { width, height });
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const { zero } = call;
    bytes.forEach((byte, at) => image.data.set([...shade(byte / 255 - zero, -zero, 1 - zero), 255], 4 * at));
    context.putImageData(image, 0, 0);
    const id = `clip-${call.name.replace(/\W/g, "_")}-${n}`;
    const side = 2 * RADIUS - 2;
    svg.append(drawn("clipPath", { id }, drawn("circle", { cx: x, cy: y, r: RADIUS - 1 })));
    return drawn("image", {
      href: canvas.toDataURL(), x: x - side / 2, y: y - side / 2, width: side, height: side,
      preserveAspectRatio: "none", "clip-path": `url(#${id})`, class: "thumb",
    });
  }

  /** Lines from circle to circle, with a head where they arrive. */
  join() {
    if (!this.calls) return;
    const frame = this.place.getBoundingClientRect();
    this.arrows.setAttribute("width", frame.width);
    this.arrows.setAttribute("height", this.place.scrollHeight);
    this.arrows.replaceChildren(
      drawn("defs", {}, drawn("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto" },
        drawn("path", { d: "M0 0 8 4 0 8z" }))));
    const centres = new Map();
    for (const [name, button] of this.buttons) {
      centres.set(name, [...button.querySelectorAll("circle.unit")].map((circle) => {
        const box = circle.getBoundingClientRect();
        return { x: box.x + box.width / 2 - frame.x, top: box.y - frame.y + this.place.scrollTop, bottom: box.bottom - frame.y + this.place.scrollTop };
      }));
    }
    for (const call of this.calls) {
      for (const source of call.inputs) this.lines(centres.get(source), centres.get(call.name), call);
    }
  }

  lines(from, to, call) {
    if (!from?.length || !to?.length) return;
    const pairs = [];
    from.forEach((a, i) => to.forEach((b, j) => {
      if (call.joins === "one" && i !== j) return;
      if (call.joins === "groups" && Math.floor((i * call.groups) / from.length) !== Math.floor((j * call.groups) / to.length)) return;
      pairs.push([a, b]);
    }));
    const many = pairs.length > 12;
    for (const [a, b] of pairs) {
      this.arrows.append(drawn("line", { x1: a.x, y1: a.bottom + 1, x2: b.x, y2: b.top - 1, class: many ? "many" : "one", ...(many ? {} : { "marker-end": "url(#tip)" }) }));
    }
    if (many) { // one head for each circle: where all its lines arrive
      for (const b of to) this.arrows.append(drawn("path", { d: `M${b.x - 3} ${b.top - 7}h6l-3 6z`, class: "head" }));
    }
  }

  mark(name) {
    for (const [other, button] of this.buttons) {
      if (other === name) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  /** Arrow keys go along the network. */
  step(event) {
    const to = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    const all = [...this.buttons.values()];
    const here = all.indexOf(document.activeElement);
    if (to === undefined || here < 0) return;
    event.preventDefault();
    all[Math.min(Math.max(here + to, 0), all.length - 1)].focus();
  }
}

