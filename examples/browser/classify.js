// Classifies the text on the page at every change of it, with Transformers.js, on the device.
//
// Owns the page. What a label's score must reach for it to be given is the model's `config.json` to
// say; what the network is, nothing here knows.

import { env, pipeline } from "./lib/transformers.web.min.js";

const SHOWN = 6; // labels
const REST_MS = 600; // how long typing rests before the answer is read aloud

const text = document.querySelector("#text");
const told = document.querySelector("#told");
const time = document.querySelector("#time");
const spoken = document.querySelector("#spoken");
const list = document.querySelector("#labels");
const percent = new Intl.NumberFormat("en", {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});

let classify; // the pipeline, once it is loaded
let asked = 0; // how often it was asked: only the last answer is shown
let resting; // the timer of what is to be read aloud

/** Loads the model that `lay_site.py` has put beside this page. */
async function load() {
  const site = await (await fetch("site.json")).json();
  const here = new URL(".", document.baseURI).pathname;
  Object.assign(env, {
    allowLocalModels: true,
    allowRemoteModels: false,
    localModelPath: here,
    // The service worker keeps the files: they need not be kept twice.
    useBrowserCache: false,
    useWasmCache: false,
  });
  Object.assign(env.backends.onnx.wasm, { wasmPaths: `${here}lib/`, numThreads: 1 });
  classify = await pipeline("text-classification", "model", { dtype: site.dtype });
  await classify("The first answer takes longer than those after it.");
  document.querySelector("#vectors").hidden = site.vectors === null;
}

/**
 * What is told of a text from the scores of its labels.
 *
 * @param {{label: string, score: number}[]} ranked Every label, best first.
 * @returns {string[]} The labels that the text is given: one, or with several labels any number.
 */
function given(ranked) {
  const { label2id, gatewise, problem_type: problem } = classify.model.config;
  if (problem === "multi_label_classification") {
    const threshold = (label) => Math.fround(gatewise.thresholds?.[label2id[label]] ?? 0.5);
    return ranked.filter(({ label, score }) => score >= threshold(label)).map(({ label }) => label);
  }
  const { reject } = gatewise;
  const [best] = ranked;
  return [reject && best.score < Math.fround(reject.threshold) ? reject.label : best.label];
}

/** Classifies what stands in the field and shows it. */
async function answer() {
  const number = (asked += 1);
  const tokens = classify.tokenizer(text.value, { truncation: true, return_tensor: false });
  // The begin mark alone: there is nothing to classify.
  if (tokens.input_ids.length <= 1) {
    show([], "Type a text to see its label.", "");
    return;
  }
  const start = performance.now();
  const ranked = await classify(text.value, { top_k: null });
  const took = performance.now() - start;
  if (number !== asked) return;
  const labels = given(ranked);
  const best = labels.length === 0 ? "No label" : labels.join(", ");
  show(ranked, best, `${took.toFixed(1)} ms`, new Set(labels));
}

/** Puts labels, a sentence and a time on the page; the sentence is read aloud once typing rests. */
function show(ranked, sentence, took, labels = new Set()) {
  list.replaceChildren(...ranked.slice(0, SHOWN).map((one) => row(one, labels.has(one.label))));
  told.textContent = sentence;
  time.textContent = took;
  clearTimeout(resting);
  resting = setTimeout(() => (spoken.textContent = sentence), REST_MS);
}

function row({ label, score }, isGiven) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  const share = document.createElement("span");
  const bar = document.createElement("span");
  name.className = "name";
  name.textContent = label;
  share.className = "share";
  share.textContent = percent.format(score);
  bar.className = "bar";
  bar.style.setProperty("--score", score);
  item.classList.toggle("given", isGiven);
  item.dataset.label = label;
  item.dataset.score = score;
  item.append(name, share, bar);
  return item;
}

/** Keeps the page for use without a network, where the browser can. */
async function keep() {
  const status = document.querySelector("#offline");
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("worker.js", { type: "classic" });
    await navigator.serviceWorker.ready;
    status.textContent = "Kept on this device: the page also works offline.";
  } catch {
    status.textContent = "This browser does not keep the page for use offline.";
  }
}

function fromHash() {
  if (location.hash.length > 1) text.value = decodeURIComponent(location.hash.slice(1));
}

fromHash();
addEventListener("hashchange", () => {
  fromHash();
  if (classify) answer();
});
text.addEventListener("input", () => classify && answer());
try {
  await load();
  await answer();
  await keep();
} catch (error) {
  told.textContent = `The model cannot be loaded: ${error.message}`;
  throw error;
}
