// A network that reads texts: the file `onnx/model_text.onnx` of a folder from `gatewise export`.

/** A network with its tokenizer inside, which needs no other file. */
export class TextModel {
  #session;
  #ort;

  constructor(labels, multiLabel, session, ort) {
    this.labels = labels;
    this.multiLabel = multiLabel;
    // Several numbers have no best one, and none that are reached.
    this.hasNumbers = !multiLabel && !session.outputNames.includes("label");
    this.#session = session;
    this.#ort = ort;
  }

  static async load(files, name, ort, options) {
    const session = await ort.InferenceSession.create(await files.bytes(name, {}), options);
    const model = new TextModel([], session.outputNames.includes("labels"), session, ort);
    // The labels are an output, the same for every text.
    model.labels = Array.from((await model.#run("a")).classes.data);
    return model;
  }

  #run(text) {
    // Strings of the runtime end at U+0000, which the tokenizer drops.
    const given = text.toWellFormed().replaceAll("\0", "");
    return this.#session.run({ text: new this.#ort.Tensor("string", [given], [1]) });
  }

  /** As `FolderModel.scores`; but a text without a token is only known if it is blank. */
  async scores(text) {
    if (text.trim() === "") return null;
    const { scores, label, labels } = await this.#run(text);
    const [best] = label?.data ?? [];
    return {
      scores: Array.from(scores.data),
      rejected: best === undefined || this.labels.includes(best) ? null : best,
      reached: labels ? Array.from(labels.data, Boolean) : null,
    };
  }

  release() {
    return this.#session.release();
  }
}
