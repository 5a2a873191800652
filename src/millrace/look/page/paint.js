// Numbers as colours: one scale for a layer, zero as the ground, so that what is strong stands out.

const cached = {};

/** The page's colours as [r, g, b], of the light or the dark look. */
function colour(name) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const key = name + dark;
  if (!(key in cached)) {
    const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    cached[key] = [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  }
  return cached[key];
}

/** The colour of a number on a scale from low (at most 0) to high. */
export function shade(x, low, high) {
  const reach = Math.max(-low, high, 1e-12);
  const strength = Math.sqrt(Math.min(Math.abs(x) / (low < 0 ? reach : high || 1), 1)) ** 1.4;
  const from = colour("--zero");
  const to = colour(x < 0 ? "--minus" : low < 0 ? "--plus" : "--ink-map");
  return from.map((value, n) => Math.round(value + (to[n] - value) * strength));
}

export function css([r, g, b]) {
  return `rgb(${r}, ${g}, ${b})`;
}

/** Paint a map of numbers, a pixel each; what `known` says is false is left as ground. */
export function paint(canvas, numbers, height, width, low, high, known = null) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const ground = colour("--pad");
  for (let n = 0; n < height * width; n++) {
    const [r, g, b] = known && !known(n) ? ground : shade(numbers[n], low, high);
    image.data.set([r, g, b, 255], 4 * n);
  }
  context.putImageData(image, 0, 0);
}

/** Paint three maps as red, green and blue. */
export function paintColours(canvas, maps, height, width, [black, white]) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let n = 0; n < height * width; n++) {
    for (let c = 0; c < 3; c++) image.data[4 * n + c] = (255 * (maps[c][n] - black)) / (white - black);
    image.data[4 * n + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** The least and the greatest of numbers, where they are, and their mean. */
export function measure(numbers, width) {
  let low = Infinity, high = -Infinity, at = 0, sum = 0;
  for (let n = 0; n < numbers.length; n++) {
    sum += numbers[n];
    if (numbers[n] < low) low = numbers[n];
    if (numbers[n] > high) [high, at] = [numbers[n], n];
  }
  return { low, high, mean: sum / numbers.length, row: Math.floor(at / width) + 1, column: (at % width) + 1 };
}
