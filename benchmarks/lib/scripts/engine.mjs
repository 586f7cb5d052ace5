// What onnxruntime makes of given ids, by onnxruntime-node and onnxruntime-web alike.

/**
 * The scores of each text from its ids.
 *
 * @param {object} ort The library.
 * @param {string} model The model's path or address.
 * @param {object} question `ids` of each text; `multiLabel`, whether its scores are a sigmoid's.
 * @returns {Promise<object>} `scores`, an array of numbers a text; `ids` is null, as they are given.
 */
export async function answers(ort, model, { ids, multiLabel }) {
  const session = await open(ort, model);
  const scores = [];
  for (const row of ids) {
    const { logits } = await session.run(inputs(ort, [row]));
    scores.push((multiLabel ? sigmoid : softmax)(Array.from(logits.data)));
  }
  await session.release();
  return { ids: null, scores };
}

/** A network on one thread. */
export function open(ort, model) {
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
