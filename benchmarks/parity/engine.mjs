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
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  const session = await ort.InferenceSession.create(model, options);
  const classify = async (row) => {
    const { logits } = await session.run(inputs(ort, row));
    return (multiLabel ? sigmoid : softmax)(Array.from(logits.data));
  };
  const scores = [];
  for (const row of ids) scores.push(await classify(row));
  const milliseconds = timedIds === null ? [] : await times(() => classify(timedIds));
  await session.release();
  return { ids: null, scores, milliseconds };
}

function inputs(ort, row) {
  const shape = [1, row.length];
  return {
    input_ids: new ort.Tensor("int64", BigInt64Array.from(row, BigInt), shape),
    attention_mask: new ort.Tensor("int64", new BigInt64Array(row.length).fill(1n), shape),
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
