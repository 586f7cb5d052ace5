// The section of one model, or of one of its versions: labels as bars, and the text with shaded words.
// The answer to a sequence of numbers has no words.

import { readSequence } from "./sequence.js";
import { Refusal, ask, curlOf, routeOf } from "./service.js";
import { showWords, summary } from "./words.js";

const PAUSE = 350; // milliseconds without typing before an explanation is requested
const SHOWN = 5; // labels shown before "Show all"
const FEW = 7; // up to this many labels are always shown: a button for two more saves no space

export class Answer {
  /**
   * @param {{model: string, version: string|null}} place The model's name, and a version's unless
   *   traffic shares choose.
   * @param {{task: string, none_label: string|null, interval: object|null, features: number|null}} about
   *   The version, as in GET models.
   * @param {{refused: (title: string, refusal: Refusal|null) => void, settled: () => void}} page
   *   Called with a refusal, or null once it is over, and when an answer is complete.
   */
  constructor(place, about, page) {
    this.place = place;
    this.title = titleOf(place);
    this.multiLabel = about.task === "multi_label";
    this.isNumber = about.task === "regression";
    this.none = about.none_label; // the label of rejected texts
    this.interval = about.interval; // around a predicted number
    this.features = about.features; // numbers of a step of a sequence; null for texts
    this.page = page;
    this.text = "";
    this.inputs = null; // what is sent of the text; null for nothing
    this.edits = 0; // of the text, to ignore late responses
    this.labels = []; // with their scores, best first
    this.given = new Set(); // the labels of the text
    this.explained = null; // the label that the shading explains
    this.all = false; // whether all labels are shown
    this.retry = 0;
    this.element = document.querySelector("#answer").content.firstElementChild.cloneNode(true);
    this.find("h2").textContent = this.title;
    this.element.setAttribute("aria-label", this.title);
    this.find(".for").textContent = this.isNumber ? "raises it" : "speaks for it";
    this.find(".against").textContent = this.isNumber ? "lowers it" : "speaks against it";
    this.find(".labels").setAttribute(
      "aria-label",
      `Labels, best first.${this.features ? "" : " Press one to see what speaks for and against it."}`,
    );
    this.find(".more").addEventListener("click", () => {
      this.all = !this.all;
      this.showLabels();
    });
    this.find(".copy").addEventListener("click", () => this.copy());
    this.clear();
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  /** The result in words, for screen readers. */
  get spoken() {
    return this.result ? `${this.title}: ${this.result}` : "";
  }

  /** Classifies a text and shows the result. */
  take(text) {
    const isEmpty = !text.trim();
    this.text = text;
    this.inputs = isEmpty ? null : this.features ? readSequence(text, this.features) : text;
    this.edits += 1;
    this.stop();
    if (this.inputs === null) {
      this.clear(isEmpty ? "" : `This is no sequence of numbers, which this model reads: ${this.form}.`);
      this.page.refused(this.title, null);
      return;
    }
    this.element.classList.add("stale");
    this.answeredBy = null;
    this.classify();
    if (!this.features) this.pause = setTimeout(() => this.explain(null), PAUSE);
  }

  /** How a sequence is written. */
  get form() {
    return this.features > 1 ? `a JSON list, or lines of ${this.features} numbers` : "a JSON list, or numbers";
  }

  /** Cancels pending requests. */
  stop() {
    clearTimeout(this.pause);
    clearTimeout(this.retry);
    this.retry = 0;
    this.explaining?.abort();
  }

  /** Ends it: what is on its way is neither shown nor repeated. */
  close() {
    this.closed = true;
    this.text = "";
    this.inputs = null;
    this.edits += 1;
    this.stop();
  }

  clear(note = "") {
    this.labels = [];
    this.result = "";
    this.element.classList.remove("stale");
    this.find(".time").textContent = "";
    this.find(".verdict").textContent = "";
    this.showNote(note);
    this.showLabels();
    this.find(".why").hidden = true;
    this.element.hidden = !note;
  }

  // One request at a time; the next one has the latest text, not those in between.
  async classify() {
    if (this.asking) return;
    this.asking = true;
    let done = -1;
    try {
      while (done !== this.edits && this.inputs !== null) {
        done = this.edits;
        await this.predict(this.inputs, done);
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.asking = false;
    }
    // The text has changed while the refused request ran.
    if (done !== this.edits && this.inputs !== null && !this.retry) this.classify();
  }

  async predict(inputs, edits) {
    const path = routeOf(this.place, "predict");
    const { answer, version, milliseconds, truncated } = await ask(path, { inputs });
    let given = null;
    // The version that has answered, where several share the traffic.
    const at = version ? { ...this.place, version } : this.place;
    if (this.multiLabel) {
      const parameters = { above_threshold: true };
      const { answer: above } = await ask(routeOf(at, "predict"), { inputs, parameters });
      given = above[0].map(({ label }) => label);
    }
    if (edits !== this.edits) return;
    this.answeredBy = at;
    this.page.refused(this.title, null);
    this.element.hidden = false;
    const time = `answered in ${inMilliseconds(milliseconds)}`;
    this.find(".time").textContent = version ? `version ${version}, ${time}` : time;
    this.find(".copied").textContent = "";
    if (this.isNumber) this.showNumbers(answer[0]);
    else this.showVerdict(answer[0], given);
    if (this.features) this.showSequence(truncated);
  }

  // Nothing is explained of a sequence: this is the end of its answer.
  showSequence(truncated) {
    this.element.classList.remove("stale");
    const cut = "The sequence is longer than the model reads: the rest was not read.";
    if (truncated) this.showNote(`${this.find(".note").textContent} ${cut}`.trim());
    this.pause = setTimeout(() => this.page.settled(), PAUSE);
  }

  async explain(label) {
    clearTimeout(this.pause);
    this.explaining?.abort();
    this.explaining = new AbortController();
    const { text } = this;
    try {
      const { answer } = await ask(
        routeOf(this.answeredBy ?? this.place, "explain"),
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
    if (this.closed) return;
    if (error.kind === "empty-text") {
      this.page.refused(this.title, null);
      this.clear("There is nothing in this text that the model can read.");
      return;
    }
    this.page.refused(this.title, error);
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
    const best = none === null && !given ? `, ${inPercent(this.labels[0].score)}` : "";
    this.find(".verdict").textContent = verdict || "No label";
    this.result = `${verdict || "no label"}${best}`;
    let note = "";
    if (none !== null) note = "The model is not sure enough of any label.";
    else if (given) note = "Each label is judged by itself. A tick marks those that reach their threshold.";
    this.showNote(note);
    this.showLabels();
  }

  showNumbers(numbers) {
    const several = numbers.length > 1;
    const named = (label, text) => (several ? `${label} ${text}` : text);
    this.result = numbers.map(({ label, score }) => named(label, inDigits(score))).join(", ");
    this.find(".verdict").textContent = this.result;
    this.showNote("");
    // Of several, a press on one explains it.
    this.labels = several ? numbers : [];
    this.showLabels();
    if (!this.interval) return;
    const halves = [this.interval.half_width].flat();
    const bounds = numbers.map(({ label, score }, place) =>
      named(label, `between ${inDigits(score - halves[place])} and ${inDigits(score + halves[place])}`),
    );
    const note = `${bounds.join(", ")} with a confidence of ${inPercent(this.interval.confidence)}`;
    this.showNote(several ? `${note} each.` : `${note[0].toUpperCase()}${note.slice(1)}.`);
  }

  /** Copies the request as a command; without access to the clipboard it is shown to be copied. */
  async copy() {
    const command = curlOf(routeOf(this.place, "predict"), { inputs: this.inputs });
    const place = this.find(".copied");
    try {
      await navigator.clipboard.writeText(command);
      place.textContent = "Copied.";
    } catch {
      place.textContent = command;
    }
  }

  showNote(note) {
    this.find(".note").textContent = note;
    this.find(".note").hidden = !note;
  }

  // Rows are updated, not replaced, so that the focus stays.
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
    button.disabled = Boolean(this.features);
    button.addEventListener("click", () => this.explain(button.dataset.label));
    return row;
  }

  fill(row, label, score) {
    const button = row.querySelector("button");
    const given = this.given.has(label);
    button.dataset.label = label;
    const shown = this.isNumber ? inDigits(score) : inPercent(score);
    button.setAttribute("aria-label", `${label}, ${shown}${given ? ", given" : ""}`);
    button.setAttribute("aria-pressed", label === this.explained);
    row.classList.toggle("given", given);
    row.classList.toggle("ticked", given && this.multiLabel);
    row.querySelector(".name").textContent = label;
    row.querySelector(".score").textContent = shown;
    row.querySelector(".bar").style.setProperty("--score", this.isNumber ? 0 : score);
  }

  showWhy(text, explained) {
    this.explained = explained.label;
    this.showLabels();
    this.find(".why").hidden = false;
    this.find("h3").textContent = this.isNumber
      ? `What raises and lowers ${this.labels.length ? `“${explained.label}”` : "the number"}`
      : `For and against “${explained.label}”`;
    const words = this.find(".words");
    words.setAttribute("aria-label", "The text, with the deciding words shaded");
    showWords(words, text, explained);
    this.find(".summary").textContent = summary(text, explained);
    this.find(".cut").hidden = !explained.truncated;
  }
}

/** Returns the name of a model, or of one of its versions, as the page shows it. */
export function titleOf({ model, version }) {
  return version === null ? model : `${model}, version ${version}`;
}

/** A number with the digits that a 32-bit float has. */
function inDigits(number) {
  return String(Number(number.toPrecision(7)));
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
