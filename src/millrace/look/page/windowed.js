// A window that moves over a map: where it stands, what it sees, and the sum of its products.

export const ACTIVATIONS = {
  linear: (x) => x,
  relu: (x) => Math.max(x, 0),
  relu6: (x) => Math.min(Math.max(x, 0), 6),
  leaky_relu: null,
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  exponential: Math.exp,
  softsign: (x) => x / (1 + Math.abs(x)),
};

export class Windowed {
  /** given: the server's numbers of a convolution or a pooling; arrays already unpacked. */
  constructor(given) {
    Object.assign(this, given);
    [this.height, this.width, this.channels] = given.size;
    [this.rows, this.columns] = given.out;
    this.dilation ??= [1, 1];
    this.activate = ACTIVATIONS[given.activation];
    this.row = 0;
    this.column = 0;
  }

  /** What an element of the window sees: its place in the input, and whether that lies in the padding around it. */
  place(a, b, row = this.row, column = this.column) {
    const y = row * this.strides[0] + a * this.dilation[0] - this.pads[0][0];
    const x = column * this.strides[1] + b * this.dilation[1] - this.pads[1][0];
    return { y, x, inside: y >= 0 && x >= 0 && y < this.height && x < this.width };
  }

  seen(a, b, c, row = this.row, column = this.column) {
    const { y, x, inside } = this.place(a, b, row, column);
    return inside ? this.input[(y * this.width + x) * this.channels + c] : 0;
  }

  weight(a, b, c) {
    return this.kernel[(a * this.window[1] + b) * this.channels + c];
  }

  /** The sum of products over one channel of the input at the window's place. */
  channelSum(c, row = this.row, column = this.column) {
    let sum = 0;
    for (let a = 0; a < this.window[0]; a++) {
      for (let b = 0; b < this.window[1]; b++) sum += this.seen(a, b, c, row, column) * this.weight(a, b, c);
    }
    return sum;
  }

  /** The sum over all channels, without the bias. */
  total(row = this.row, column = this.column) {
    const { height, width, channels, input, kernel } = this;
    const [rows, columns] = this.window;
    let sum = 0;
    for (let a = 0; a < rows; a++) {
      const y = row * this.strides[0] + a * this.dilation[0] - this.pads[0][0];
      if (y < 0 || y >= height) continue; // padding adds nothing
      for (let b = 0; b < columns; b++) {
        const x = column * this.strides[1] + b * this.dilation[1] - this.pads[1][0];
        if (x < 0 || x >= width) continue;
        let from = (y * width + x) * channels, at = (a * columns + b) * channels;
        for (let c = 0; c < channels; c++) sum += input[from++] * kernel[at++];
      }
    }
    return sum;
  }

  /** The map that the kernel makes, as its numbers are now; before the activation where the page does not know that. */
  wholeMap() {
    const made = new Float32Array(this.rows * this.columns);
    const activate = this.activate ?? ACTIVATIONS.linear;
    for (let row = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++) {
        made[row * this.columns + column] = activate(this.total(row, column) + (this.bias ?? 0));
      }
    }
    return made;
  }

  move(row, column) {
    this.row = Math.min(Math.max(row, 0), this.rows - 1);
    this.column = Math.min(Math.max(column, 0), this.columns - 1);
  }

  /** One channel of the input with its padding, to paint: numbers, size, and which of them lie in the padding. */
  padded(c) {
    const [[top, bottom], [left, right]] = this.pads;
    const height = this.height + top + bottom, width = this.width + left + right;
    const numbers = new Float32Array(height * width);
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        numbers[(y + top) * width + x + left] = this.input[(y * this.width + x) * this.channels + c];
      }
    }
    const inside = (n) => {
      const y = Math.floor(n / width) - top, x = (n % width) - left;
      return y >= 0 && x >= 0 && y < this.height && x < this.width;
    };
    return { numbers, height, width, inside };
  }
}
