// What onnxruntime makes of given ids, by onnxruntime-node and onnxruntime-web alike. Knows no
// tokenizer.

import { times } from "./timing.mjs";

/**
 * The scores of each text from its ids.
 *
 * @param {object} ort The library.
 * @param {string|Uint8Array} model The model's path, address or contents.
 * @param {object} question `ids` of each text; `multiLabel`, whether its scores are a sigmoid's;
 *   `timedIds`, the ids of a text or null.
 * @returns {Promise<object>} `scores`, an array of numbers a text; `milliseconds` of the timed.
 */
export async function answers(ort, model, { ids, multiLabel, timedIds }) {
  const session = await opened(ort, model);
  const classify = async (row) => {
    const { logits } = await session.run(inputs(ort, [row]));
    return (multiLabel ? sigmoid : softmax)(Array.from(logits.data));
  };
  const scores = [];
  for (const row of ids) scores.push(await classify(row));
  const milliseconds = timedIds === null ? [] : await times(() => classify(timedIds));
  await session.release();
  return { ids: null, scores, milliseconds };
}

/** A network on one thread. */
export function opened(ort, model) {
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  return ort.InferenceSession.create(model, options);
}

/** The ids of some texts as a network takes them, padded to the longest. */
export function inputs(ort, texts) {
  const longest = Math.max(...texts.map((ids) => ids.length));
  const shape = [texts.length, longest];
  const ids = new BigInt64Array(texts.length * longest);
  const mask = new BigInt64Array(texts.length * longest);
  texts.forEach((text, row) => {
    ids.set(BigInt64Array.from(text, BigInt), row * longest);
    mask.fill(1n, row * longest, row * longest + text.length);
  });
  return {
    input_ids: new ort.Tensor("int64", ids, shape),
    attention_mask: new ort.Tensor("int64", mask, shape),
  };
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function sigmoid(logits) {
  return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
}
