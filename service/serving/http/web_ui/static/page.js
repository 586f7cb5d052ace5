// The page: the text, the selected models, and errors. answer.js shows the answer of one model.

import { Answer } from "./answer.js";
import { Refusal, ask, useKey } from "./service.js";

const MAX_SELECTED = 3; // of more models only the default one is selected at first

const text = document.querySelector("#text");
const answers = new Map(); // of the selected models, by name
const abouts = new Map(); // the versions of the ready models, by name
const refusals = new Map(); // the current refusals, by model

const page = {
  refused(model, refusal) {
    if (refusal) refusals.set(model, refusal);
    else refusals.delete(model);
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
}

function choose(name, chosen) {
  if (chosen && !answers.has(name)) answers.set(name, new Answer(name, abouts.get(name), page));
  if (!chosen) {
    answers.get(name)?.stop();
    answers.delete(name);
    page.refused(name, null);
  }
  const order = [...document.querySelectorAll("#models input")].map(({ value }) => value);
  const shown = order.map((each) => answers.get(each)?.element).filter(Boolean);
  document.querySelector("#answers").replaceChildren(...shown);
  if (chosen) answers.get(name).take(text.value);
}

function showModels(models) {
  const field = document.querySelector("#models");
  field.hidden = models.length < 2;
  field.querySelectorAll("label").forEach((label) => label.remove());
  for (const { name, versions } of models) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = name;
    const ready = versions.filter(({ state }) => state === "ready");
    box.disabled = !ready.length;
    // The version with the most traffic; among equals the newest, which is last.
    if (ready.length) abouts.set(name, ready.reduce((a, b) => (b.traffic < a.traffic ? a : b)));
    box.addEventListener("change", () => choose(name, box.checked));
    label.append(box, name, box.disabled ? " (not ready)" : "");
    field.append(label);
  }
  for (const box of field.querySelectorAll("input:enabled")) {
    box.checked = models.length <= MAX_SELECTED || models.find((m) => m.name === box.value).default;
    if (box.checked) choose(box.value, true);
  }
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

text.addEventListener("input", take);
document.querySelector("#form").addEventListener("submit", (event) => event.preventDefault());
document.querySelector("#key").addEventListener("submit", async (event) => {
  event.preventDefault();
  event.target.dataset.tried = "yes";
  useKey(document.querySelector("#secret").value.trim());
  if (!answers.size) await start();
  take();
});

start();
