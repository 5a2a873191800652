// The page's texts, in the language that it was asked for, and numbers as people write them.

let texts = {};

export async function loadWords() {
  texts = await (await fetch("/words.json")).json();
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
}

/** A text by its key, with what is put into it: say("axis", { n: 3 }). */
export function say(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A number with four digits that count, or so many, and a true minus. */
export function number(x, digits = 4) {
  if (x === null || Number.isNaN(x)) return "NaN";
  const size = Math.abs(x);
  let text;
  if (!Number.isFinite(x)) text = size === Infinity ? "∞" : "NaN";
  else if (Number.isInteger(x) && size < 1e6) text = String(size);
  else if (size >= 1e-4 && size < 1e6) text = String(Number(size.toPrecision(digits)));
  else text = size.toExponential(2);
  return x < 0 ? "−" + text : text;
}

export function percent(p) {
  if (p === null) return "NaN";
  return `${(100 * p).toFixed(p > 0.999 && p < 1 ? 2 : 1)} %`; // 99.97 % is not all
}

export function sizes(shape) {
  return shape.length ? shape.map((n) => n.toLocaleString("en")).join(" × ") : "1";
}
