// The classifier: texts, or sequences of numbers, to labels. `node.js` and `browser.js` add where
// files and the runtime are.

import { EmptyTextError, GatewiseError, kindOf } from "./errors.js";
import { FolderModel } from "./folder_model.js";
import { ranked } from "./scores.js";
import { stepsOf } from "./sequences.js";
import { TextModel } from "./text_model.js";

const SESSION = { intraOpNumThreads: 1, interOpNumThreads: 1 };

/** A loaded model; `index.d.ts` documents its methods. */
export class BaseClassifier {
  #model;

  constructor(model) {
    this.#model = model;
  }

  /**
   * Opens the model at a place.
   *
   * @param {string} place The path or the address of a model folder, or of a text model, `*.onnx`.
   * @param {(folder: string) => import("./files.js").Files} open Gives the files of a folder.
   * @param {object} ort onnxruntime.
   * @param {{precision?: "fp32"|"fp16"|"int8"}} options
   */
  static async open(place, open, ort, { precision } = {}) {
    const [, folder, name] = /^(.*?)([^/\\]*\.onnx)?$/s.exec(place);
    if (name === undefined) {
      return new this(await FolderModel.load(open(folder), precision, ort, SESSION));
    }
    if (precision !== undefined) {
      throw new GatewiseError(`${place}: a single file has one precision: leave it out`);
    }
    return new this(await TextModel.load(open(folder || "."), name, ort, SESSION));
  }

  get labels() {
    return [...this.#model.labels];
  }

  get multiLabel() {
    return this.#model.multiLabel;
  }

  async classify(texts, { topK } = {}) {
    if (topK !== undefined && !(topK >= 1)) {
      throw new GatewiseError(`topK: expected a number from 1 up, received ${topK}`);
    }
    const { features } = this.#model;
    if (features) return this.#classify(stepsOf(texts, features), topK, "the sequence");
    if (typeof texts === "string") return this.#classify(texts, topK, "the text");
    if (!Array.isArray(texts)) {
      throw new GatewiseError(`expected a text or an array of texts, received ${kindOf(texts)}`);
    }
    const found = [];
    for (const [index, text] of texts.entries()) {
      if (typeof text !== "string") {
        throw new GatewiseError(`text ${index}: expected a string, received ${kindOf(text)}`);
      }
      found.push(await this.#classify(text, topK, `text ${index}`));
    }
    return found;
  }

  async #classify(text, topK, name) {
    const answer = await this.#model.scores(text);
    if (answer === null) throw new EmptyTextError(`${name} has no token to classify`);
    const { scores, rejected, reached } = answer;
    if (this.#model.hasNumbers) {
      return this.#model.labels.map((label, index) => ({ label, score: scores[index] }));
    }
    const all = ranked(this.#model.labels, scores);
    if (topK === undefined && reached !== null) {
      const predicted = new Set(this.#model.labels.filter((_, index) => reached[index]));
      return all.filter(({ label }) => predicted.has(label));
    }
    if (rejected !== null) all.unshift({ label: rejected, score: all[0].score });
    return all.slice(0, topK ?? 1);
  }

  encode(text) {
    return this.#model.encode?.(text) ?? null;
  }

  release() {
    return this.#model.release();
  }
}
