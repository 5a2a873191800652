// A picture with a frame on it that pointer and arrow keys move.

import { make } from "/make.js";

const KEYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** label: for who cannot see it. moved(row, column): where the frame should go. at(): where it is, {row, column}. */
export class Mover {
  constructor(label, moved, at) {
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.frame = make("div", { class: "frame" });
    this.element = make("div", { class: "mover", tabindex: 0, role: "application", "aria-label": label }, this.canvas, this.frame);
    this.moved = moved;
    this.at = at;
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("pointerdown", (event) => {
      this.element.setPointerCapture(event.pointerId);
      this.point(event);
    });
    this.element.addEventListener("pointermove", (event) => event.buttons && this.point(event));
  }

  /** What a step of the window is, in pixels of the canvas, and how large the window is. */
  measure(strides, reach) {
    this.strides = strides;
    this.reach = reach;
  }

  place(row, column) {
    const { width, height } = this.canvas;
    Object.assign(this.frame.style, {
      left: `${(100 * column * this.strides[1]) / width}%`,
      top: `${(100 * row * this.strides[0]) / height}%`,
      width: `${(100 * this.reach[1]) / width}%`,
      height: `${(100 * this.reach[0]) / height}%`,
    });
  }

  key(event) {
    const step = KEYS[event.key];
    if (!step) return;
    event.preventDefault();
    const far = event.shiftKey ? 5 : 1;
    const { row, column } = this.at();
    this.moved(row + far * step[0], column + far * step[1]);
  }

  point(event) {
    event.preventDefault();
    const box = this.canvas.getBoundingClientRect();
    const y = ((event.clientY - box.y) / box.height) * this.canvas.height - this.reach[0] / 2;
    const x = ((event.clientX - box.x) / box.width) * this.canvas.width - this.reach[1] / 2;
    this.moved(Math.round(y / this.strides[0]), Math.round(x / this.strides[1]));
  }
}
