// The panel of a convolution or a pooling layer: move the window, see its numbers add up, change the kernel.

import { ask, edits, unpack } from "/ask.js";
import { make, tell } from "/make.js";
import { Mover } from "/mover.js";
import { css, measure, paint, shade } from "/paint.js";
import { Windowed } from "/windowed.js";
import { number, say } from "/words.js";

const FEW = 9; // products that are written out in a line

export class KernelPanel {
  /** changed(): called when a number of the kernel was changed. chosen(map): when another map is looked at. */
  constructor(place, layer, changed, chosen) {
    Object.assign(this, { place, layer, changed, chosen, channel: 0, playing: null });
    this.pools = layer.panel === "pooling";
  }

  async show(map) {
    this.stop();
    const given = await ask("numbers", { name: this.layer.name, map });
    for (const key of ["input", "kernel", "original", "output", "before"]) if (key in given) given[key] = unpack(given[key]);
    const at = this.window ?? { row: Math.floor(given.out[0] / 2), column: Math.floor(given.out[1] / 2) };
    this.window = new Windowed(given);
    this.window.move(at.row, at.column);
    this.channel = Math.min(this.channel, this.window.channels - 1);
    this.build();
    this.draw();
  }

  // ---- what there is on the page

  build() {
    const w = this.window;
    const move = (row, column) => this.move(row, column);
    const at = () => w;
    this.input = new Mover(say(this.pools ? "mover_pool" : "mover_kernel"), move, at);
    this.output = new Mover(say("mover_output"), move, at);
    this.old = make("canvas", { role: "img" });
    this.oldFigure = make("figure", { hidden: true }, make("figcaption", {}, say("map_before")), make("div", { class: "mover still" }, this.old));
    this.caption = make("span");
    this.row = this.coordinate(say("row"), w.rows, (n) => this.move(n - 1, w.column));
    this.column = this.coordinate(say("column"), w.columns, (n) => this.move(w.row, n - 1));
    this.channels = make("select", { onchange: (event) => this.look(Number(event.target.value)) });
    this.play = make("button", { type: "button", class: "play", onclick: () => (this.playing ? this.stop() : this.start()) }, say("play"));
    this.sum = make("div", { class: "sum" });
    this.numbers = make("div", { class: "numbers" });
    const pick = make("select", { class: "pick-map", onchange: (event) => this.chosen(Number(event.target.value)) });
    for (let n = 0; n < w.maps; n++) pick.append(make("option", { value: n, selected: n === w.map }, String(n + 1)));
    const controls = make("div", { class: "controls" },
      make("label", {}, say(this.pools ? "which_map" : "which_kernel"), " ", pick),
      w.channels > 1 ? make("label", {}, say("which_channel"), " ", this.channels) : null,
      make("label", {}, say("row"), " ", this.row), make("label", {}, say("column"), " ", this.column), this.play);
    this.place.replaceChildren(
      make("h3", {}, say(this.pools ? "move_window" : "move_kernel")),
      make("p", { class: "hint" }, say("move_hint")),
      controls,
      make("div", { class: "pictures" },
        make("figure", {}, make("figcaption", {}, this.caption), this.input.element),
        make("figure", {}, make("figcaption", {}, say("map_now", { map: w.map + 1 })), this.output.element),
        this.oldFigure),
      this.sum, this.numbers,
      ...(this.pools ? [] : this.tools()));
  }

  coordinate(label, most, set) {
    return make("input", { type: "number", min: 1, max: most, "aria-label": label, onchange: (event) => set(Number(event.target.value) || 1) });
  }

  /** Kernels to try, and the way back. */
  tools() {
    const tries = make("select", { class: "try", onchange: (event) => { this.fill(event.target.value); event.target.value = ""; } },
      make("option", { value: "" }, say("try_choose")),
      ...["zero", "mean", "vertical", "horizontal", "negative"].map((name) => make("option", { value: name }, say(`try_${name}`))));
    this.reset = make("button", { type: "button", class: "reset", onclick: () => this.fill("original") }, say("reset"));
    this.effect = make("p", { class: "effect" });
    return [make("div", { class: "controls" }, make("label", {}, say("try"), " ", tries), this.reset), this.effect];
  }

  // ---- what it shows

  draw() {
    const w = this.window;
    const { numbers, height, width, inside } = w.padded(this.channel);
    const found = measure(w.input, 1);
    this.scale = [Math.min(found.low, 0), Math.max(found.high, 1e-12)];
    paint(this.input.canvas, numbers, height, width, ...this.scale, inside);
    const reach = [0, 1].map((axis) => (w.window[axis] - 1) * w.dilation[axis] + 1);
    this.input.measure(w.strides, reach);
    this.output.measure([1, 1], [1, 1]);
    this.caption.textContent = w.channels > 1 ? say("input_map", { map: w.first + this.channel + 1 }) : say("input_one");
    this.drawOutput();
    this.standing();
    if (this.effect) this.said();
  }

  drawOutput() {
    const w = this.window;
    const changed = !this.pools && this.edited.size > 0;
    const made = changed ? (w.made ??= w.wholeMap()) : w.output;
    const all = [made, ...(changed ? [w.before] : [])].map((one) => measure(one, w.columns));
    const low = Math.min(0, ...all.map((one) => one.low)), high = Math.max(1e-12, ...all.map((one) => one.high));
    paint(this.output.canvas, made, w.rows, w.columns, low, high, this.playing ? (n) => n <= w.row * w.columns + w.column : null);
    if (this.pools) return;
    this.oldFigure.hidden = !changed;
    if (changed) {
      paint(this.old, w.before, w.rows, w.columns, low, high);
      this.old.setAttribute("aria-label", say("map_label", { map: w.map + 1, ...this.measured(all[1]) }));
    }
  }

  measured(found) {
    return { mean: number(found.mean), low: number(found.low), high: number(found.high), row: found.row, column: found.column };
  }

  /** All that depends on where the window stands. */
  standing() {
    const w = this.window;
    this.input.place(w.row, w.column);
    this.output.place(w.row, w.column);
    this.row.value = w.row + 1;
    this.column.value = w.column + 1;
    this.pools ? this.pooled() : this.convolved();
  }

  move(row, column) {
    this.stop();
    this.window.move(row, column);
    this.standing();
    tell(this.spoken);
  }

  look(channel) {
    this.channel = channel;
    this.draw();
  }

  pooled() {
    const w = this.window;
    const cells = this.each((a, b) => ({ ...w.place(a, b), value: w.seen(a, b, 0) }));
    const inside = cells.flat().filter((cell) => cell.inside);
    const values = inside.map((cell) => cell.value);
    const greatest = Math.max(...values);
    const first = inside.find((cell) => cell.value === greatest);
    const result = w.output[w.row * w.columns + w.column];
    const most = w.kind === "max";
    this.numbers.replaceChildren(this.table(say("window"), cells, (cell) => {
      const cellElement = this.tinted(cell.value, !cell.inside);
      if (most && cell === first) {
        cellElement.classList.add("greatest");
        cellElement.append(make("span", { class: "mark" }, say("max")));
      }
      return cellElement;
    }));
    const list = values.map((x) => number(x));
    const text = most
      ? `max( ${list.join(", ")} ) = ${number(result)}`
      : `( ${list.join(" + ")} ) / ${values.length} = ${number(result)}`;
    this.sum.replaceChildren(make("p", { class: "line" }, text.replaceAll("+ −", "− ")));
    this.spoken = say(most ? "spoken_max" : "spoken_mean", { row: w.row + 1, column: w.column + 1, value: number(result) });
  }

  convolved() {
    const w = this.window, c = this.channel;
    const cells = this.each((a, b) => ({ inside: w.place(a, b).inside, a, b, x: w.seen(a, b, c), k: w.weight(a, b, c) }));
    if (w.channels > 1) this.listChannels();
    const products = cells.flat().map((cell) => cell.x * cell.k);
    const reach = Math.max(...products.map(Math.abs), 1e-12);
    const focused = document.activeElement?.dataset?.place;
    if (!this.numbers.children.length || this.shownChannel !== c) {
      this.shownChannel = c;
      this.numbers.replaceChildren(
        make("div", { class: "slot" }), make("span", { class: "sign", "aria-hidden": "true" }, "×"),
        this.table(say("kernel"), cells, (cell) => this.editable(cell)),
        make("span", { class: "sign", "aria-hidden": "true" }, "="), make("div", { class: "slot" }));
      if (focused) this.numbers.querySelector(`[data-place="${focused}"]`)?.focus();
    }
    const slots = this.numbers.querySelectorAll(".slot");
    slots[0].replaceChildren(this.table(say("window"), cells, (cell) => this.tinted(cell.x, !cell.inside)));
    slots[1].replaceChildren(this.table(say("products"), cells, (cell) => this.tinted(cell.x * cell.k, false, [-reach, reach])));
    const channelSum = products.reduce((a, b) => a + b, 0), total = w.total(), sum = total + (w.bias ?? 0);
    const lines = [];
    if (products.length <= FEW) {
      lines.push(cells.flat().map((cell) => `${number(cell.x)} × ${cell.k < 0 ? `(${number(cell.k)})` : number(cell.k)}`).join(" + ") + ` = ${number(channelSum)}`);
    } else lines.push(say("sum_of", { count: products.length, sum: number(channelSum) }));
    if (w.channels > 1) lines.push(say("over_all", { count: w.channels, sum: number(total) }));
    if (w.bias !== null) lines.push(say("bias_added", { total: number(total), sign: w.bias < 0 ? "−" : "+", bias: number(Math.abs(w.bias)), sum: number(sum) }));
    const out = w.activate ? w.activate(sum) : null;
    if (w.activation !== "linear" && out !== null) lines.push(`${w.activation}( ${number(sum)} ) = ${number(out)}`);
    if (out === null) lines.push(say("activation_unknown", { name: w.activation, value: number(w.output[w.row * w.columns + w.column]) }));
    const written = lines.map((line, n) => make("p", { class: n === lines.length - 1 ? "line result" : "line" }, line));
    this.sum.replaceChildren(...written);
    this.sum.dataset.value = out ?? sum;
    this.spoken = say("spoken_sum", { row: w.row + 1, column: w.column + 1, sum: number(sum), out: number(out ?? sum) });
  }

  listChannels() {
    const w = this.window;
    const options = Array.from({ length: w.channels }, (_, n) =>
      make("option", { value: n, selected: n === this.channel }, say("channel", { map: w.first + n + 1, sum: number(w.channelSum(n)) })));
    this.channels.replaceChildren(...options);
  }

  // ---- tables of numbers

  each(make) {
    const [rows, columns] = this.window.window;
    return Array.from({ length: rows }, (_, a) => Array.from({ length: columns }, (_, b) => make(a, b)));
  }

  table(caption, cells, cell) {
    const table = make("table", { class: cells[0].length > 5 ? "small" : null }, make("caption", {}, caption));
    for (const row of cells) table.append(make("tr", {}, ...row.map(cell)));
    const wide = cells[0].length > 3;
    return make("div", wide ? { class: "scroll", tabindex: 0, role: "group", "aria-label": caption } : { class: "scroll" }, table);
  }

  tinted(value, outside, scale = this.scale) {
    const cell = make("td", {}, make("span", { class: "tint", "aria-hidden": "true" }), number(value, 3));
    if (outside) cell.classList.add("outside");
    cell.firstChild.style.background = outside ? "transparent" : css(shade(value, ...scale));
    if (outside) cell.append(make("span", { class: "unseen" }, ` ${say("padding")}`));
    return cell;
  }

  editable(cell) {
    const w = this.window, at = (cell.a * w.window[1] + cell.b) * w.channels + this.channel;
    const input = make("input", {
      type: "number", step: "any", value: Number(w.kernel[at].toPrecision(3)), "data-place": `${cell.a},${cell.b}`,
      "aria-label": say("weight_label", { row: cell.a + 1, column: cell.b + 1 }),
    });
    const mark = () => {
      const changed = w.kernel[at] !== w.original[at];
      input.classList.toggle("changed", changed);
      input.title = changed ? say("was", { value: number(w.original[at]) }) : "";
    };
    mark();
    input.addEventListener("input", () => {
      if (input.value === "" || !Number.isFinite(Number(input.value))) return;
      this.set([[at, Math.fround(Number(input.value))]]);
      mark();
    });
    return make("td", {}, input);
  }

  // ---- changing the kernel

  get edited() {
    return edits.get(this.base) ?? edits.set(this.base, new Map()).get(this.base);
  }

  get base() {
    return this.layer.name.split("#")[0];
  }

  /** Give elements of the kernel other values: [[place in the kernel, value], ...]. */
  set(changes) {
    const w = this.window;
    for (const [at, value] of changes) {
      w.kernel[at] = value;
      const c = at % w.channels, b = Math.floor(at / w.channels) % w.window[1], a = Math.floor(at / w.channels / w.window[1]);
      const key = [a, b, c, w.map].join(",");
      if (value === w.original[at]) this.edited.delete(key);
      else this.edited.set(key, value);
    }
    w.made = null;
    this.drawOutput();
    this.standing();
    this.reset.disabled = !this.edited.size;
    this.changed();
  }

  fill(name) {
    const w = this.window, [rows, columns] = w.window;
    if (!name) return;
    const area = rows * columns, middle = [(rows - 1) / 2, (columns - 1) / 2];
    const value = (at) => {
      const b = Math.floor(at / w.channels) % columns, a = Math.floor(at / w.channels / columns);
      if (name === "zero") return 0;
      if (name === "mean") return 1 / (area * w.channels);
      if (name === "negative") return -w.kernel[at];
      if (name === "vertical") return Math.sign(b - middle[1]) / w.channels;
      if (name === "horizontal") return Math.sign(a - middle[0]) / w.channels;
      return w.original[at];
    };
    this.shownChannel = -1; // the inputs are made anew
    this.set(Array.from(w.kernel, (_, at) => [at, Math.fround(value(at))]));
  }

  /** Say what the change did to the answer. */
  said(text = this.lastSaid ?? "") {
    this.lastSaid = text;
    if (!this.effect) return;
    this.effect.textContent = this.edited.size ? text : say("change_hint");
    this.effect.className = this.edited.size ? "effect" : "effect hint";
    this.reset.disabled = !this.edited.size;
  }

  // ---- the window running over the input by itself

  start() {
    const w = this.window, count = w.rows * w.columns;
    const each = Math.max(1, Math.ceil(count / 250)); // about fifteen seconds at the most
    let n = 0;
    this.play.textContent = say("stop");
    this.playing = setInterval(() => {
      if (n >= count || !this.place.isConnected) return this.stop();
      w.move(Math.floor(n / w.columns), n % w.columns);
      this.drawOutput();
      this.standing();
      n += each;
    }, count <= 100 ? 120 : 60);
  }

  stop() {
    if (!this.playing) return;
    clearInterval(this.playing);
    this.playing = null;
    this.play.textContent = say("play");
    this.drawOutput();
  }
}
