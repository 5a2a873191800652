// The network's answer: a bar for each class, and beside it what it was before numbers were changed.

import { make } from "/make.js";
import { number, percent, say } from "/words.js";

const SHOWN = 10;

export function showBars(place, network, edited, reset) {
  const { names, values, probable, step, layer } = network.bars;
  if (!values.length) return place.replaceChildren(make("p", {}, say("no_answer")));
  const order = values.map((_, n) => n).sort((a, b) => Math.max(values[b], network.before[b]) - Math.max(values[a], network.before[a]));
  const shown = (values.length <= SHOWN + 2 ? values.map((_, n) => n) : order.slice(0, SHOWN));
  const most = probable ? 1 : Math.max(...values.map(Math.abs), ...network.before.map(Math.abs), 1e-9);
  const write = probable ? percent : number;
  const best = values.indexOf(Math.max(...values));
  const list = make("ul", { class: "bars" });
  list.style.setProperty("--name", `${Math.min(Math.max(...shown.map((n) => names[n].length)), 14) * 0.6 + 0.5}em`);
  for (const n of shown) {
    const bar = (value, kind) => {
      const one = make("span", { class: `bar ${kind}` });
      one.style.width = `${Math.max((100 * Math.abs(value)) / most, 0.4)}%`;
      return make("span", { class: "track" }, one);
    };
    const row = make("li", { class: n === best ? "best" : null },
      make("span", { class: "name" }, names[n], n === best ? make("span", { class: "unseen" }, say("strongest")) : null),
      bar(values[n], "now"),
      make("span", { class: "value" }, write(values[n])),
    );
    if (edited) {
      row.append(bar(network.before[n], "then"), make("span", { class: "value soft" }, say("was", { value: write(network.before[n]) })));
    }
    list.append(row);
  }
  const rest = values.length - shown.length;
  const parts = [make("p", {}, summary(network, edited)), list];
  if (rest > 0) parts.push(make("p", { class: "hint" }, say("more_classes", { count: rest.toLocaleString("en") })));
  if (network.truth) parts.push(make("p", { class: "hint" }, say("truth", { name: network.truth })));
  if (step) parts.push(make("p", { class: "hint" }, say("last_step", { step })));
  if (probable) parts.push(make("p", { class: "hint" }, say("sum_to_one", { layer })));
  if (edited) parts.push(make("button", { type: "button", class: "reset-all", onclick: reset }, say("reset_all")));
  place.replaceChildren(...parts);
}

/** The answer in a sentence; after a change, what it was and what it is. */
export function summary(network, edited) {
  const { names, values, probable } = network.bars;
  if (!values.length) return "";
  const write = probable ? percent : number;
  const best = (all) => all.indexOf(Math.max(...all));
  const now = best(values), then = best(network.before);
  if (!edited) return say("answer_is", { name: names[now], value: write(values[now]) });
  return say("answer_was", { then: names[then], before: write(network.before[then]), now: names[now], after: write(values[now]) });
}
