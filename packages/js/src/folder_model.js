// A model folder: its tokenizer, if it reads texts, in JavaScript, its network in onnxruntime.

import { Tokenizer } from "@huggingface/tokenizers";

import { GatewiseError } from "./errors.js";
import { FUNCTIONS } from "./scores.js";

const FORMAT = 2;
const SCORES = { multi_label_classification: "sigmoid", regression: "none" };
const NETWORKS = {
  fp32: "onnx/model.onnx",
  fp16: "onnx/model_fp16.onnx",
  int8: "onnx/model_quantized.onnx",
};

/** A network that reads token ids, with the tokenizer that makes them, or plain numbers. */
export class FolderModel {
  #tokenizer;
  #session;
  #ort;
  #function;
  #tokens;

  constructor(config, tokenizer, session, ort) {
    const { id2label, problem_type: problem, gatewise } = config;
    this.labels = Object.keys(id2label)
      .sort((one, other) => one - other)
      .map((id) => id2label[id]);
    this.multiLabel = problem === "multi_label_classification";
    this.hasNumbers = problem === "regression";
    this.#function = FUNCTIONS[SCORES[problem] ?? "softmax"];
    this.thresholds = this.multiLabel
      ? this.labels.map((_, index) => Math.fround(gatewise.thresholds?.[index] ?? 0.5))
      : null;
    this.reject = gatewise.reject ?? null;
    this.#tokens = gatewise.tokens;
    /** The numbers of a step of a sequence; 0 if the model reads texts. */
    this.features = gatewise.tokens.features ?? 0;
    this.#tokenizer = tokenizer;
    this.#session = session;
    this.#ort = ort;
  }

  /**
   * Reads a folder and opens its network; `Classifier.load` describes the arguments.
   *
   * @param {import("./files.js").Files} files
   */
  static async load(files, precision, ort, options) {
    const manifest = await files.json("manifest.json");
    const digests = Object.fromEntries(
      Object.entries(manifest.files ?? {}).map(([name, file]) => [name, file.sha256]),
    );
    const require = (name) => {
      if (!(name in digests)) {
        throw new GatewiseError(`${files.place}: manifest.json does not list ${name}`);
      }
    };
    require("config.json");
    const network = networkOf(digests, precision, files);
    const [config, tokenizer, weights] = await Promise.all([
      files.json("config.json", digests),
      "tokenizer.json" in digests ? files.json("tokenizer.json", digests) : null,
      files.bytes(network, digests),
    ]);
    const format = config.gatewise?.format;
    if (format !== FORMAT) {
      throw new GatewiseError(
        `${files.place}: expected a model folder of format ${FORMAT}, found ` +
          (format === undefined ? "one of another program" : `format ${format}`) +
          ": train the model again, or take another version of gatewise-js",
      );
    }
    // A model of sequences has none.
    if (!config.gatewise.tokens.features) require("tokenizer.json");
    const session = await ort.InferenceSession.create(weights, options);
    return new FolderModel(config, tokenizer && new Tokenizer(tokenizer, {}), session, ort);
  }

  /**
   * The token ids of a text, `[CLS]` first; at most as many as the model reads. null if it reads
   * sequences.
   *
   * @param {string} text
   * @returns {number[]|null}
   */
  encode(text) {
    if (this.features) return null;
    const { ids } = this.#tokenizer.encode(text.toWellFormed());
    const { max_length: length, windows = 1 } = this.#tokens;
    const [begin, ...tokens] = ids;
    return [begin, ...this.#cut(tokens, windows * (length - 1))];
  }

  /** The tokens or steps that the model reads of an input. */
  #cut(items, max) {
    if (items.length <= max) return items;
    const last = { head: 0, tail: max, both: Math.floor(max / 2) }[this.#tokens.keep];
    return [...items.slice(0, max - last), ...items.slice(items.length - last)];
  }

  /**
   * The score of each label, and the label if the input is rejected; null for a text without a
   * token.
   *
   * @param {string|number[][]} input A text, or the steps of a sequence.
   */
  async scores(input) {
    const logits = [];
    if (this.features) {
      logits.push(await this.#ofNumbers(this.#cut(input, this.#tokens.max_length)));
    } else {
      const ids = this.encode(input);
      if (ids.length <= 1) return null;
      for (const window of this.#windows(ids)) logits.push(await this.#ofIds(window));
    }
    const scores = this.#function(logits.length > 1 ? mean(logits) : logits[0]);
    const { reject } = this;
    const isRejected = reject !== null && Math.max(...scores) < Math.fround(reject.threshold);
    return { scores, rejected: isRejected ? reject.label : null, reached: this.#reached(scores) };
  }

  /** The parts of a text's ids that the network reads at a time, of like length. */
  #windows(ids) {
    const [begin, ...tokens] = ids;
    const count = Math.ceil(tokens.length / (this.#tokens.max_length - 1));
    const length = Math.floor(tokens.length / count);
    const windows = [];
    for (let start = 0; windows.length < count; ) {
      const stop = start + length + (windows.length < tokens.length % count ? 1 : 0);
      windows.push([begin, ...tokens.slice(start, stop)]);
      start = stop;
    }
    return windows;
  }

  #ofIds(ids) {
    const shape = [1, ids.length];
    const tensor = new this.#ort.Tensor("int64", BigInt64Array.from(ids, BigInt), shape);
    return this.#logits({ input_ids: tensor }, ids.length);
  }

  #ofNumbers(steps) {
    const shape = [1, steps.length, this.features];
    const tensor = new this.#ort.Tensor("float32", Float32Array.from(steps.flat()), shape);
    return this.#logits({ input_values: tensor }, steps.length);
  }

  async #logits(inputs, length) {
    const ones = new BigInt64Array(length).fill(1n);
    const mask = new this.#ort.Tensor("int64", ones, [1, length]);
    return (await this.#session.run({ ...inputs, attention_mask: mask })).logits.data;
  }

  #reached(scores) {
    return this.thresholds && scores.map((score, index) => score >= this.thresholds[index]);
  }

  release() {
    return this.#session.release();
  }
}

/** The mean of several arrays of logits, element by element. */
function mean(arrays) {
  return arrays[0].map((_, index) => {
    let sum = 0;
    for (const each of arrays) sum += each[index];
    return sum / arrays.length;
  });
}

/** The name of the network of a precision; of the most exact one for undefined. */
function networkOf(digests, precision, files) {
  const held = Object.keys(NETWORKS).filter((name) => NETWORKS[name] in digests);
  const chosen = precision ?? held[0];
  if (!held.includes(chosen)) {
    throw new GatewiseError(
      `${files.place}: expected a network in ${chosen ?? "fp32, fp16 or int8"}, ` +
        `found ${held.join(", ") || "none"}`,
    );
  }
  return NETWORKS[chosen];
}
