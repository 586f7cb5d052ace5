/** A label and its probability; of a model that predicts numbers, a name and its number. */
export interface Score {
  label: string;
  score: number;
}

/**
 * A sequence of numbers: its steps, each a vector, or a number if a step has one. null and NaN are
 * missing numbers.
 */
export type Sequence =
  | ArrayLike<number | null>
  | ReadonlyArray<ArrayLike<number | null>>;

export interface LoadOptions {
  /** How the weights are stored; by default the most exact kind in the folder. */
  precision?: "fp32" | "fp16" | "int8";
  /** onnxruntime; by default `onnxruntime-node` in Node, `onnxruntime-web/wasm` in a page. */
  ort?: unknown;
}

export interface ClassifyOptions {
  /**
   * The number of labels to give, `Infinity` for all. By default those that are predicted: one, or
   * where a text may have several labels, each that reaches its threshold. A model that predicts
   * numbers gives all of them, in their order.
   */
  topK?: number;
}

/** A loaded model. Its answers are those of Gatewise in Python, within 0.00001. */
export class Classifier {
  private constructor();

  /**
   * Loads a model.
   *
   * @param place The path (in Node) or the address of a model folder, whose files are verified by
   *   the digests of its manifest; or of a text model, `onnx/model_text.onnx`, which needs no
   *   other file.
   * @throws {GatewiseError} A file is missing or damaged, or the folder has another format.
   */
  static load(place: string | URL, options?: LoadOptions): Promise<Classifier>;

  /** The labels, in the order of the network's outputs. */
  readonly labels: string[];

  /** Whether a text may have several labels, or none. */
  readonly multiLabel: boolean;

  /**
   * Classifies a text; each text of an array gets the answer that it gets alone.
   *
   * A text that the model rejects has the label of rejected texts first. A model that predicts
   * a number gives the label `value` with the number as its score, one of several numbers the name
   * of each.
   *
   * @throws {EmptyTextError} A text has no token.
   */
  classify(text: string, options?: ClassifyOptions): Promise<Score[]>;
  classify(texts: readonly string[], options?: ClassifyOptions): Promise<Score[][]>;

  /**
   * Classifies a sequence, with a model of sequences of numbers; one at a time.
   *
   * @throws {GatewiseError} It is empty, or has steps of another width than the model reads.
   */
  classify(sequence: Sequence, options?: ClassifyOptions): Promise<Score[]>;

  /** The token ids that the model reads of a text; null for a text model and one of sequences. */
  encode(text: string): number[] | null;

  /** Frees the network. */
  release(): Promise<void>;
}

/** A model that cannot be loaded, or an input that cannot be classified. */
export class GatewiseError extends Error {}

/** A text without a token, such as an empty one. */
export class EmptyTextError extends GatewiseError {}
