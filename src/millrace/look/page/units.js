// The panels of layers that have units and not windows: weighted sums, shares of a softmax, and all others.

import { ask, edits } from "/ask.js";
import { make } from "/make.js";
import { number, percent, quotient, say } from "/words.js";

export class UnitPanel {
  constructor(place, layer, names, changed, chosen) {
    Object.assign(this, { place, layer, names, changed, chosen, step: -1 });
  }

  async show(unit) {
    const given = await ask("numbers", { name: this.layer.name, map: unit, step: this.step });
    this.given = given;
    const parts = [make("h3", {}, say("add_up")), this.controls(given)];
    if (given.terms) parts.push(...this.terms(given));
    if (given.shares) parts.push(...this.shares(given));
    this.place.replaceChildren(...parts);
    if (this.effect) this.said();
  }

  controls(given) {
    const pick = this.names.length ? this.classes(given) : make("input", { type: "number", min: 1, max: given.units, value: given.unit + 1, class: "pick-map",
      onchange: (event) => this.chosen(Math.min(Math.max(Number(event.target.value) || 1, 1), given.units) - 1) });
    const box = make("div", { class: "controls" }, make("label", {}, say(this.names.length ? "which_class" : "which_unit", { count: given.units.toLocaleString("en") }), " ", pick));
    if (given.steps) {
      const step = make("input", { type: "number", min: 1, max: given.steps, value: given.step + 1,
        onchange: (event) => { this.step = Math.min(Math.max(Number(event.target.value) || 1, 1), given.steps) - 1; this.show(this.given.unit); } });
      box.append(make("label", {}, say("which_step", { count: given.steps }), " ", step));
    }
    return box;
  }

  /** The classes by name. */
  classes(given) {
    const pick = make("select", { class: "pick-map", onchange: (event) => this.chosen(Number(event.target.value)) });
    for (let n = 0; n < given.units; n++) pick.append(make("option", { value: n, selected: n === given.unit }, this.names[n] ?? String(n + 1)));
    return pick;
  }

  terms(given) {
    const reach = Math.max(...given.terms.map((term) => Math.abs(term.product)), 1e-12);
    const table = make("table", { class: "terms" },
      make("caption", {}, say("largest_terms", { count: given.terms.length })),
      make("thead", {}, make("tr", {}, ...["from", "input", "weight", "product"].map((key) => make("th", { scope: "col" }, say(`term_${key}`))), make("td"))));
    const body = make("tbody");
    for (const term of given.terms) {
      const bar = make("span", { class: term.product < 0 ? "stick minus" : "stick plus", "aria-hidden": "true" });
      bar.style.width = `${(100 * Math.abs(term.product)) / reach}%`;
      body.append(make("tr", {},
        make("th", { scope: "row" }, term.from.length > 1
          ? say("from_map", { row: term.from[0] + 1, column: term.from[1] + 1, map: term.from[2] + 1 })
          : say("from_unit", { unit: term.from[0] + 1 })),
        make("td", {}, number(term.x)),
        make("td", {}, this.editable(term)),
        make("td", {}, number(term.product)), make("td", { class: "sticks" }, bar)));
    }
    table.append(body);
    const lines = [];
    const listed = given.terms.reduce((sum, term) => sum + term.product, 0);
    lines.push(say("sum_listed", { sum: number(listed) }));
    if (given.rest.count) lines.push(say("sum_rest", { count: given.rest.count.toLocaleString("en"), sum: number(given.rest.sum) }));
    if (given.bias !== null) lines.push(say("bias_is", { bias: number(given.bias) }));
    lines.push(say("sum_all", { sum: number(given.sum) }));
    if (given.activation !== "linear") lines.push(say("activation_is", { name: given.activation, value: number(given.made) }));
    const last = lines.length - 1;
    this.effect = make("p", { class: "effect" });
    return [make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": say("largest_terms", { count: given.terms.length }) }, table),
      make("div", { class: "sum", "data-value": given.made }, ...lines.map((line, n) => make("p", { class: n === last ? "line result" : "line" }, line))),
      this.effect];
  }

  editable(term) {
    const input = make("input", { type: "number", step: "any", value: Number(term.weight.toPrecision(4)), "data-place": term.at.join(","),
      "aria-label": say("weight_of", { unit: term.at[0] + 1 }), class: term.weight !== term.original ? "changed" : null });
    if (term.weight !== term.original) input.title = say("was", { value: number(term.original) });
    input.addEventListener("change", async () => {
      const value = Math.fround(Number(input.value));
      if (input.value === "" || !Number.isFinite(value)) return;
      const base = this.layer.name.split("#")[0];
      if (!edits.has(base)) edits.set(base, new Map());
      if (value === term.original) edits.get(base).delete(term.at.join(","));
      else edits.get(base).set(term.at.join(","), value);
      this.changed();
      await this.show(this.given.unit);
      this.place.querySelector(`[data-place="${term.at.join(",")}"]`)?.focus();
    });
    return input;
  }

  said(text = this.lastSaid ?? "") {
    this.lastSaid = text;
    if (!this.effect) return;
    const edited = edits.get(this.layer.name.split("#")[0])?.size;
    this.effect.textContent = edited ? text : say("change_hint");
    this.effect.className = edited ? "effect" : "effect hint";
  }

  shares({ shares, unit }) {
    const name = (n) => this.names[n] ?? String(n + 1);
    const table = make("table", { class: "terms" }, make("caption", {}, say("softmax_steps")),
      make("thead", {}, make("tr", {}, ...["class", "score", "exp", "share"].map((key) => make("th", { scope: "col" }, say(`share_${key}`))))));
    const body = make("tbody");
    for (const row of shares.rows) {
      body.append(make("tr", { class: row.class === unit ? "chosen" : null }, make("th", { scope: "row" }, name(row.class)), make("td", {}, number(row.score)),
        make("td", {}, number(row.exp)), make("td", {}, percent(row.share))));
    }
    table.append(body);
    const own = shares.rows.find((row) => row.class === unit), { above, below, made } = quotient(own.exp, shares.total);
    return [
      make("h3", {}, "softmax"),
      make("p", { class: "hint" }, say("softmax_hint", { largest: number(shares.largest) })),
      make("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": say("softmax_steps") }, table),
      make("div", { class: "sum" },
        make("p", { class: "line" }, say("softmax_total", { count: shares.count.toLocaleString("en"), total: below })),
        make("p", { class: "line result" }, say("share_is", { name: name(unit), exp: above, total: below, share: made })))];
  }
}

/** One number of any other layer, worked out as far as it can be said. */
export class PlacePanel {
  constructor(place, layer) {
    Object.assign(this, { place, layer, at: layer.shape.map(() => 0) });
  }

  async show(map) {
    const { shape } = this.layer;
    if (shape.length === 1 || this.layer.form === "maps") this.at[shape.length - 1] = Math.min(map, Math.max(shape.at(-1) - 1, 0));
    const given = await ask("numbers", { name: this.layer.name, place: this.at });
    const names = this.axes();
    const controls = make("div", { class: "controls" }, ...shape.map((size, n) => make("label", {}, names[n], " ",
      make("input", { type: "number", min: 1, max: size, value: this.at[n] + 1, "data-axis": n, onchange: async (event) => {
        this.at[n] = Math.min(Math.max(Number(event.target.value) || 1, 1), size) - 1;
        await this.show(this.at.at(-1));
        this.place.querySelector(`[data-axis="${n}"]`)?.focus();
      } }))));
    const lines = given.lines.length ? given.lines : [say("value_only", { value: number(given.value) })];
    this.place.replaceChildren(make("h3", {}, say("one_number")), controls,
      make("div", { class: "sum", role: "status", "data-value": given.value }, ...lines.map((line) => make("p", { class: "line" }, line))));
  }

  axes() {
    const { shape, form } = this.layer;
    if (form === "maps" && shape.length === 3) return [say("row"), say("column"), say("map")];
    if (form === "steps") return [say("step"), say("feature")].slice(0, shape.length);
    return shape.map((_, n) => (n === shape.length - 1 ? say("unit") : say("axis", { n: n + 1 })));
  }
}
