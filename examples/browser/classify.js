// Classifies the text on the page at every change, with gatewise-js, on the device.

import { Classifier, EmptyTextError } from "gatewise-js";

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

let classifier; // once it is loaded
let requests = 0; // only the answer to the last one is shown
let pause; // the timer of the announcement

/** Loads the model that `lay_site.py` has put into this site. */
async function load() {
  const site = await (await fetch("site.json")).json();
  classifier = await Classifier.load("model", { precision: site.precision });
  await classifier.classify("The first answer takes longer than those after it.");
  document.querySelector("#vectors").hidden = site.vectors === null;
}

/** Classifies the text in the field and shows the result. */
async function classifyText() {
  const number = (requests += 1);
  const start = performance.now();
  try {
    const predicted = (await classifier.classify(text.value)).map(({ label }) => label);
    const took = performance.now() - start;
    const ranked = await classifier.classify(text.value, { topK: Infinity });
    if (number !== requests) return;
    const own = ranked.filter(({ label }) => classifier.labels.includes(label));
    const best = predicted.length === 0 ? "No label" : predicted.join(", ");
    show(own, best, `${took.toFixed(1)} ms`, new Set(predicted));
  } catch (error) {
    if (!(error instanceof EmptyTextError)) throw error;
    if (number === requests) show([], "Type a text to see its label.", "");
  }
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
  if (classifier) classifyText();
});
text.addEventListener("input", () => classifier && classifyText());
try {
  await load();
  await classifyText();
  await cacheSite();
} catch (error) {
  answer.textContent = `The model cannot be loaded: ${error.message}`;
  throw error;
}
