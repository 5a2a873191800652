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
  else text = size.toExponential(digits - 2);
  return x < 0 ? "−" + text : text;
}

export function percent(p) {
  if (p === null) return "NaN";
  const whole = p > 0.999 && p < 1; // 99.97% is not all
  let digits = whole ? 2 : 1;
  while (whole && digits < 7 && Number((100 * p).toFixed(digits)) === 100) digits++;
  return `${(100 * p).toFixed(digits)}%`;
}

const valueOf = (text) => Number(text.replace("−", "-"));

/** a / b as texts { above, below, made } of a line that holds: of the digits written, not only of those behind them. */
export function quotient(a, b) {
  const needed = (x) => { // 1.00005 is not written as 1
    let digits = 4;
    while (digits < 16 && x !== 1 && number(x, digits) === "1") digits++;
    return digits;
  };
  const kept = needed(a / b), made = number(a / b, kept);
  for (let digits = needed(b); digits < 16; digits++) {
    const above = number(a, digits), below = number(b, digits);
    if (number(valueOf(above) / valueOf(below), kept) === made) return { above, below, made };
  }
  return { above: number(a, 16), below: number(b, 16), made };
}

/** Names one after another. */
export function listing(items) {
  return items.join(say("list_comma"));
}

export function sizes(shape) {
  return shape.length ? shape.map((n) => n.toLocaleString("en")).join(" × ") : "1";
}
