// What one model says of the text: its labels as bars, and the words that decided.

import { Refusal, ask, routeOf } from "./service.js";
import { showWords, summary } from "./words.js";

const PAUSE = 350; // milliseconds without typing before the words are explained
const SHOWN = 5; // labels that are shown at first
const FEW = 7; // labels that are all shown: a button for two more is none the shorter

export class Answer {
  /**
   * @param {string} model The model's name.
   * @param {{task: string, none_label: string|null}} about What the service tells of the model.
   * @param {{refused: (model: string, refusal: Refusal|null) => void, settled: () => void}} page
   *   Who is told of a refusal, null when there is none any more, and of an answer that stays.
   */
  constructor(model, about, page) {
    this.model = model;
    this.several = about.task === "multi_label"; // whether a text may have several labels
    this.none = about.none_label; // what a text is given that is given none of them
    this.page = page;
    this.text = "";
    this.version = 0; // of the text, to tell late answers by
    this.labels = []; // with their scores, best first
    this.given = new Set(); // those of them that the text is given
    this.explained = null; // the one that the shades are about
    this.all = false; // whether all of them are shown
    this.retry = 0;
    this.element = document.querySelector("#answer").content.firstElementChild.cloneNode(true);
    this.find("h2").textContent = model;
    this.element.setAttribute("aria-label", model);
    this.find(".labels").setAttribute(
      "aria-label",
      "Labels, best first. Press one to see what speaks for and against it.",
    );
    this.find(".more").addEventListener("click", () => {
      this.all = !this.all;
      this.showLabels();
    });
    this.clear();
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  /** What is said for those who hear the page. */
  get spoken() {
    return this.told ? `${this.model}: ${this.told}` : "";
  }

  /** Takes a text, and shows what becomes of it. */
  take(text) {
    this.text = text;
    this.version += 1;
    this.stop();
    if (!text.trim()) {
      this.clear();
      this.page.refused(this.model, null);
      return;
    }
    this.element.classList.add("stale");
    this.classify();
    this.pause = setTimeout(() => this.explain(null), PAUSE);
  }

  /** Asks no more. */
  stop() {
    clearTimeout(this.pause);
    clearTimeout(this.retry);
    this.retry = 0;
    this.explaining?.abort();
  }

  clear(note = "") {
    this.labels = [];
    this.told = "";
    this.element.classList.remove("stale");
    this.find(".time").textContent = "";
    this.find(".verdict").textContent = "";
    this.showNote(note);
    this.showLabels();
    this.find(".why").hidden = true;
    this.element.hidden = !note;
  }

  // One request at a time: what is typed meanwhile is asked for next, and only its last state.
  async classify() {
    if (this.asking) return;
    this.asking = true;
    let done = -1;
    try {
      while (done !== this.version && this.text.trim()) {
        done = this.version;
        await this.predict(this.text, done);
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.asking = false;
    }
    // What was typed while a refusal was on its way.
    if (done !== this.version && this.text.trim() && !this.retry) this.classify();
  }

  async predict(text, version) {
    const path = routeOf(this.model, "predict");
    const { answer, milliseconds } = await ask(path, { inputs: text });
    let given = null;
    if (this.several) {
      const parameters = { above_threshold: true };
      const { answer: above } = await ask(path, { inputs: text, parameters });
      given = above[0].map(({ label }) => label);
    }
    if (version !== this.version) return;
    this.page.refused(this.model, null);
    this.element.hidden = false;
    this.find(".time").textContent = `answered in ${inMilliseconds(milliseconds)}`;
    this.showVerdict(answer[0], given);
  }

  async explain(label) {
    clearTimeout(this.pause);
    this.explaining?.abort();
    this.explaining = new AbortController();
    const { text } = this;
    try {
      const { answer } = await ask(
        routeOf(this.model, "explain"),
        { inputs: text, parameters: { label } },
        this.explaining.signal,
      );
      if (text !== this.text) return;
      this.showWhy(text, answer[0]);
      this.element.classList.remove("stale");
      this.page.settled();
    } catch (error) {
      if (error.name !== "AbortError") this.fail(error);
    }
  }

  fail(error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.kind === "empty-text") {
      this.page.refused(this.model, null);
      this.clear("There is nothing in this text that the model reads.");
      return;
    }
    this.page.refused(this.model, error);
    if (error.seconds) {
      clearTimeout(this.retry);
      this.retry = setTimeout(() => this.take(this.text), 1000 * error.seconds);
    }
  }

  showVerdict(labels, given) {
    const none = !given && labels[0].label === this.none ? this.none : null;
    this.labels = none === null ? labels : labels.slice(1);
    this.given = new Set(given ?? (none === null ? [labels[0].label] : []));
    const verdict = none ?? (given ? given.join(", ") : labels[0].label);
    this.find(".verdict").textContent = verdict || "No label";
    const best = this.labels[0];
    this.told = `${verdict || "no label"}${none === null && !given ? `, ${inPercent(best.score)}` : ""}`;
    let note = "";
    if (none !== null) note = "No label is sure enough to be given.";
    else if (given) note = "Each label is judged by itself. A tick marks those that are given.";
    this.showNote(note);
    this.showLabels();
  }

  showNote(note) {
    this.find(".note").textContent = note;
    this.find(".note").hidden = !note;
  }

  // Rows are filled anew and not replaced, so that the one that has the focus keeps it.
  showLabels() {
    const list = this.find(".labels");
    const few = this.labels.length <= FEW;
    const shown = this.all || few ? this.labels : this.labels.slice(0, SHOWN);
    while (list.children.length > shown.length) list.lastElementChild.remove();
    while (list.children.length < shown.length) list.append(this.row());
    shown.forEach(({ label, score }, place) => this.fill(list.children[place], label, score));
    const more = this.find(".more");
    more.hidden = few;
    more.textContent = this.all ? "Show fewer labels" : `Show all ${this.labels.length} labels`;
    more.setAttribute("aria-expanded", this.all);
  }

  row() {
    const row = document.querySelector("#label").content.firstElementChild.cloneNode(true);
    const button = row.querySelector("button");
    button.addEventListener("click", () => this.explain(button.dataset.label));
    return row;
  }

  fill(row, label, score) {
    const button = row.querySelector("button");
    const given = this.given.has(label);
    button.dataset.label = label;
    button.setAttribute("aria-label", `${label}, ${inPercent(score)}${given ? ", given" : ""}`);
    button.setAttribute("aria-pressed", label === this.explained);
    row.classList.toggle("given", given);
    row.classList.toggle("ticked", given && this.several);
    row.querySelector(".name").textContent = label;
    row.querySelector(".score").textContent = inPercent(score);
    row.querySelector(".bar").style.setProperty("--score", score);
  }

  showWhy(text, { label, tokens, truncated }) {
    this.explained = label;
    this.showLabels();
    this.find(".why").hidden = false;
    this.find("h3").textContent = `For and against “${label}”`;
    const words = this.find(".words");
    words.setAttribute("aria-label", "The text, the words that decided shaded");
    showWords(words, text, tokens, truncated);
    this.find(".summary").textContent = summary(text, tokens);
    this.find(".cut").hidden = !truncated;
  }
}

function inMilliseconds(milliseconds) {
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

function inPercent(score) {
  const percent = 100 * score;
  if (percent > 0 && percent < 0.1) return "< 0.1%";
  if (percent < 100 && percent > 99.9) return "> 99.9%";
  return `${percent.toFixed(1)}%`;
}
