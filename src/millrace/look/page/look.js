// The page: the network on one side, the chosen layer in the middle, the answer on the other.

import { ask, edits, trouble } from "/ask.js";
import { showBars, summary } from "/bars.js";
import { KernelPanel } from "/kernel.js";
import { make, tell } from "/make.js";
import { Maps } from "/maps.js";
import { Drawing } from "/network.js";
import { PlacePanel, UnitPanel } from "/units.js";
import { listing, loadWords, say, sizes } from "/words.js";

const WAIT = 250; // milliseconds without a further change before the network is computed anew

const LISTED = 4; // weights that are named

let network, drawing, layer, panel, maps, map = 0, waiting;
let wanted; // the layer that was chosen last, though its answer may not be here yet
let turn = 0, round = 0; // of layers opened and of networks asked for: only the last one's answer is shown
const places = Object.fromEntries(["lead", "panel", "panel-title", "panel-body", "bars", "drawing"].map((id) => [id, document.getElementById(id)]));

const edited = () => [...edits.values()].some((one) => one.size);

async function refresh() {
  const mine = ++round;
  const answer = await ask("network");
  if (mine !== round) return;
  network = answer;
  drawing.show(network);
  showBars(places.bars, network, edited(), resetAll);
}

/** Open a layer's panel. */
async function open(name, focus = true) {
  const mine = ++turn;
  wanted = name;
  const answer = await ask("layer", { name });
  if (mine !== turn) return;
  layer = answer;
  map = 0;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  drawing.mark(name);
  places["panel-title"].textContent = say("layer_title", { name: layer.name });
  const numbers = make("section", { class: "work" });
  const all = make("section", { class: "all-maps" });
  const weights = Object.entries(layer.weights).map(([key, shape]) => `${key} ${sizes(shape)}`);
  const parameters = listing(weights.slice(0, LISTED)) + (weights.length > LISTED ? say("list_more") : "");
  const head = [make("p", { class: "about" }, make("b", {}, layer.kind), say("kind_mark"), layer.about)];
  if (layer.takes.length) {
    head.push(make("p", { class: "flow" }, say("flow", { from: listing(layer.takes.map(sizes)), to: sizes(layer.shape) }),
      parameters ? say("sentence_gap") + say("parameters", { count: layer.parameters.toLocaleString("en"), weights: parameters }) : ""));
  }
  if (layer.formula) head.push(make("p", { class: "formula" }, layer.formula));
  if (layer.where.length) head.push(make("p", { class: "hint where" }, layer.where.join(say("sentence_gap"))));
  const text = layer.words.length ? listed(layer.words) : null;
  const titled = { maps: "the_maps", units: "the_units", steps: "the_steps", number: "the_units" }[layer.form];
  places["panel-body"].replaceChildren(...head, ...(layer.panel === "other" ? [] : [numbers]),
    make("h3", {}, say(titled)), ...(text ? [text] : []), all, ...(layer.panel === "other" ? [numbers] : []));
  const last = layer.name === network.bars.layer && layer.shape.at(-1) === network.bars.names.length;
  const names = last ? network.bars.names : []; // its units are the classes; one unit may tell two classes apart
  if (layer.panel === "convolution" || layer.panel === "pooling") panel = new KernelPanel(numbers, layer, changed, choose);
  else if (layer.panel === "dense" || layer.panel === "softmax") {
    panel = new UnitPanel(numbers, layer, names, changed, choose);
    map = names.length ? Math.max(network.bars.values.indexOf(Math.max(...network.bars.values)), 0) : 0;
    if (map >= layer.shape.at(-1)) map = 0;
  } else panel = new PlacePanel(numbers, layer);
  maps = new Maps(all, layer, names, () => map, choose);
  await Promise.all([panel.show(map), maps.show()]);
  if (focus && mine === turn) {
    places.panel.focus({ preventScroll: true });
    const top = places.panel.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight / 2) places.panel.scrollIntoView({ behavior: calm() ? "auto" : "smooth" });
  }
}

/** The words of a text; what repeats at the end, such as padding, is said once. */
function listed(words) {
  let end = words.length;
  while (end > 1 && words[end - 1] === words[end - 2]) end--;
  const items = words.slice(0, end).map((word) => make("li", {}, word));
  if (end < words.length) items.at(-1).append(` × ${words.length - end + 1}`);
  return make("ol", { class: "words", "aria-label": say("the_words") }, ...items);
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Look at another map or unit of the layer. */
async function choose(n) {
  map = n;
  await panel.show(n);
  for (const button of places["panel-body"].querySelectorAll("button.map")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.map) === n));
  }
}

/** A number was changed: what follows is computed anew once no further change comes. */
function changed() {
  clearTimeout(waiting);
  waiting = setTimeout(() => follow().catch(quiet), WAIT);
}

async function follow() {
  await Promise.all([refresh(), maps.refill()]);
  const text = summary(network, edited());
  panel.said?.(text);
  tell(text);
}

async function resetAll() {
  edits.clear();
  await refresh();
  await open(wanted, false);
  tell(summary(network, false));
  document.getElementById("answer-title").scrollIntoView?.({ block: "nearest" });
}

async function start() {
  await loadWords();
  drawing = new Drawing(places.drawing, (name) => open(name).catch(quiet));
  await refresh();
  document.getElementById("heading").textContent = network.name;
  places.lead.replaceChildren(
    say(network.origin ? "trained" : "untrained", { origin: network.origin }), say("sentence_gap"), say(network.held ? "shown_held" : "shown", { example: network.example }));
  if (!network.origin) places.lead.classList.add("untrained");
  const asked = decodeURIComponent(location.hash.slice(1));
  const first = network.calls.find((call) => call.name === asked) ?? network.calls.find((call) => call.kind === "Conv2D") ?? network.calls.find((call) => call.kind !== "Input") ?? network.calls[0];
  await open(first.name, false);
  document.body.dataset.ready = "true";
}

/** What the server refused is said already; whatever else went wrong must not pass in silence. */
const quiet = (error) => {
  if (error.told) return;
  trouble(String(error));
  console.error(error);
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawing.show(network); open(wanted, false).catch(quiet); });
start().catch(quiet);
