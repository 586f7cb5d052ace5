// The page: the text or the sequence, the selected models, and errors. answer.js shows the answer of one model.

import { Answer, titleOf } from "./answer.js";
import { drawSequence, readSequence, wave } from "./sequence.js";
import { Refusal, ask, useKey } from "./service.js";

const MAX_SELECTED = 3; // of more models only the default one is selected at first

const text = document.querySelector("#text");
const example = document.querySelector("#example");
const answers = new Map(); // of what is selected, by title
const choices = new Map(); // each model and version that is ready, by title
const refusals = new Map(); // the current refusals, by title

const page = {
  refused(title, refusal) {
    if (refusal) refusals.set(title, refusal);
    else refusals.delete(title);
    showTrouble();
  },
  settled() {
    const results = [...answers.values()].map(({ spoken }) => spoken).filter(Boolean);
    document.querySelector("#spoken").textContent = results.join("; ");
  },
};

function showTrouble() {
  const form = document.querySelector("#key");
  const needsKey = [...refusals.values()].some(({ status }) => status === 401 || status === 403);
  if (!needsKey && form.contains(document.activeElement)) text.focus();
  form.hidden = !needsKey;
  const [refusal] = refusals.values();
  // Before a key was tried, the form itself explains what is missing.
  const message = !refusal || (needsKey && !form.dataset.tried) ? "" : refusal.message;
  const place = document.querySelector("#trouble");
  if (place.textContent !== message) place.textContent = message;
  place.hidden = !message;
}

function take() {
  // A lone surrogate cannot be sent as UTF-8; the replacement character takes its place.
  const value = text.value.toWellFormed?.() ?? text.value;
  for (const answer of answers.values()) answer.take(value);
  draw();
}

// By the first selected model that reads sequences.
function draw() {
  const { features } = [...answers.values()].find((answer) => answer.features) ?? {};
  drawSequence(document.querySelector("#plot"), features ? readSequence(text.value, features) : null);
}

function choose(title, chosen) {
  if (chosen && !answers.has(title)) {
    const { place, about } = choices.get(title);
    answers.set(title, new Answer(place, about, page));
  }
  if (!chosen) {
    answers.get(title)?.close();
    answers.delete(title);
    page.refused(title, null);
  }
  const order = [...document.querySelectorAll("#models input")].map(({ value }) => value);
  const shown = order.map((each) => answers.get(each)?.element).filter(Boolean);
  document.querySelector("#answers").replaceChildren(...shown);
  if (chosen) answers.get(title).take(text.value);
  draw();
}

// A box for a model, or for one of its versions, so that two of them can be compared.
function addBox(field, place, about) {
  const title = titleOf(place);
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.value = title;
  box.disabled = !about;
  if (about) choices.set(title, { place, about });
  box.addEventListener("change", () => choose(title, box.checked));
  label.append(box, title, about ? "" : " (not ready)");
  field.append(label);
  return box;
}

function showModels(models) {
  const field = document.querySelector("#models");
  field.querySelectorAll("label").forEach((label) => label.remove());
  for (const { name, default: isDefault, versions } of models) {
    const ready = versions.filter(({ state }) => state === "ready");
    // The version with the most traffic; among equals the newest, which is last.
    const most = ready.length && ready.reduce((a, b) => (b.traffic < a.traffic ? a : b));
    const box = addBox(field, { model: name, version: null }, most || null);
    if (ready.length > 1) {
      for (const about of ready) addBox(field, { model: name, version: about.version }, about);
    }
    box.checked = most && (models.length <= MAX_SELECTED || isDefault);
    if (box.checked) choose(box.value, true);
  }
  field.hidden = field.querySelectorAll("input").length < 2;
  showExamples(models);
  showKinds([...choices.values()].map(({ about }) => about.input));
}

// What to type: the texts or the sequences that the models read.
function showKinds(kinds) {
  if (!kinds.includes("sequence")) return;
  const isMixed = kinds.includes("text");
  document.querySelector("label[for=text]").textContent = isMixed ? "Your text or sequence" : "Your sequence";
  text.placeholder = isMixed
    ? "Type or paste a text, or a sequence of numbers."
    : "Type or paste numbers: a JSON list, or a line for each step.";
  document.querySelector("#hint").textContent = "The models answer as you type.";
}

// A training text of each label, if training has kept them, by the newest version of a model. Of a
// model of sequences there is always an example.
function showExamples(models) {
  const groups = [];
  for (const { name, versions } of models) {
    const { features } = versions.findLast((version) => version.features) ?? {};
    const kept = versions.findLast((version) => version.examples)?.examples;
    const examples = kept ?? (features ? { "a wave, for the form": wave(features) } : null);
    if (!examples) continue;
    const group = document.createElement("optgroup");
    group.label = name;
    group.append(...Object.entries(examples).map(([label, words]) => new Option(label, words)));
    groups.push(group);
  }
  example.replaceChildren(example.firstElementChild, ...groups);
  example.parentElement.hidden = !groups.length;
}

async function start() {
  try {
    const { answer } = await ask("models");
    page.refused("", null);
    showModels(answer.models);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    page.refused("", error);
    if (error.seconds) setTimeout(start, 1000 * error.seconds);
  }
}

text.addEventListener("input", () => {
  example.value = ""; // so that it can be chosen again
  take();
});
example.addEventListener("change", () => {
  text.value = example.value;
  take();
});
document.querySelector("#form").addEventListener("submit", (event) => event.preventDefault());
document.querySelector("#key").addEventListener("submit", async (event) => {
  event.preventDefault();
  event.target.dataset.tried = "yes";
  useKey(document.querySelector("#secret").value.trim());
  if (!answers.size) await start();
  take();
});

start();
