// Classifies the text on the page at every change, with Transformers.js, on the device. Thresholds
// come from the model's `config.json`.

import { env, pipeline } from "./lib/transformers.web.min.js";

const MAX_LABELS = 6;
const PAUSE_MS = 600; // without typing, before the answer is announced

const text = document.querySelector("#text");
const answer = document.querySelector("#answer");
const time = document.querySelector("#time");
const announced = document.querySelector("#announced");
const list = document.querySelector("#labels");
const percent = new Intl.NumberFormat("en", {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});

let classify; // the pipeline, once it is loaded
let requests = 0; // only the answer to the last one is shown
let pause; // the timer of the announcement

/** Loads the model that `lay_site.py` has put into this site. */
async function load() {
  const site = await (await fetch("site.json")).json();
  const here = new URL(".", document.baseURI).pathname;
  Object.assign(env, {
    allowLocalModels: true,
    allowRemoteModels: false,
    localModelPath: here,
    // The service worker caches the files already.
    useBrowserCache: false,
    useWasmCache: false,
  });
  Object.assign(env.backends.onnx.wasm, { wasmPaths: `${here}lib/`, numThreads: 1 });
  classify = await pipeline("text-classification", "model", { dtype: site.dtype });
  await classify("The first answer takes longer than those after it.");
  document.querySelector("#vectors").hidden = site.vectors === null;
}

/**
 * Predicts labels from scores.
 *
 * @param {{label: string, score: number}[]} ranked Every label, best first.
 * @returns {string[]} One label, or any number in a multi-label task.
 */
function predict(ranked) {
  const { label2id, gatewise, problem_type: problem } = classify.model.config;
  if (problem === "multi_label_classification") {
    const threshold = (label) => Math.fround(gatewise.thresholds?.[label2id[label]] ?? 0.5);
    return ranked.filter(({ label, score }) => score >= threshold(label)).map(({ label }) => label);
  }
  const { reject } = gatewise;
  const [best] = ranked;
  return [reject && best.score < Math.fround(reject.threshold) ? reject.label : best.label];
}

/** Classifies the text in the field and shows the result. */
async function classifyText() {
  const number = (requests += 1);
  const tokens = classify.tokenizer(text.value, { truncation: true, return_tensor: false });
  // [CLS] alone: there is nothing to classify.
  if (tokens.input_ids.length <= 1) {
    show([], "Type a text to see its label.", "");
    return;
  }
  const start = performance.now();
  const ranked = await classify(text.value, { top_k: null });
  const took = performance.now() - start;
  if (number !== requests) return;
  const labels = predict(ranked);
  const best = labels.length === 0 ? "No label" : labels.join(", ");
  show(ranked, best, `${took.toFixed(1)} ms`, new Set(labels));
}

/** Shows labels, a sentence and a time; the sentence is announced once typing pauses. */
function show(ranked, sentence, took, labels = new Set()) {
  list.replaceChildren(...ranked.slice(0, MAX_LABELS).map((each) => row(each, labels.has(each.label))));
  answer.textContent = sentence;
  time.textContent = took;
  clearTimeout(pause);
  pause = setTimeout(() => (announced.textContent = sentence), PAUSE_MS);
}

function row({ label, score }, isPredicted) {
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
  item.classList.toggle("predicted", isPredicted);
  item.dataset.label = label;
  item.dataset.score = score;
  item.append(name, share, bar);
  return item;
}

/** Caches the site for use offline, if the browser can. */
async function cacheSite() {
  const status = document.querySelector("#offline");
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("worker.js", { type: "classic" });
    await navigator.serviceWorker.ready;
    status.textContent = "Stored on this device: the page also works offline.";
  } catch {
    status.textContent = "This browser does not store the page for use offline.";
  }
}

function fromHash() {
  if (location.hash.length > 1) text.value = decodeURIComponent(location.hash.slice(1));
}

fromHash();
addEventListener("hashchange", () => {
  fromHash();
  if (classify) classifyText();
});
text.addEventListener("input", () => classify && classifyText());
try {
  await load();
  await classifyText();
  await cacheSite();
} catch (error) {
  answer.textContent = `The model cannot be loaded: ${error.message}`;
  throw error;
}
