// What Transformers.js makes of texts, in Node and in a browser alike.

/**
 * The ids and the scores of each text, one text at a time as a person types them.
 *
 * @param {object} library Transformers.js, configured to find the models.
 * @param {object} question `model`, its name; `dtype`, null for the tokenizer alone; `texts`;
 *   `labels` in the order of the scores.
 * @returns {Promise<object>} `ids` and `scores`, an array of numbers a text, or null where the
 *   library failed on it.
 */
export async function answers({ AutoTokenizer, pipeline }, question) {
  const { model, dtype, texts, labels } = question;
  const tokenizer = await AutoTokenizer.from_pretrained(model);
  const ids = texts.map((text) => idsOf(tokenizer, text));
  if (dtype === null) return { ids, scores: null };
  const classify = await pipeline("text-classification", model, { dtype });
  const scores = [];
  for (const text of texts) scores.push(await scoresOf(classify, text, labels));
  await classify.dispose();
  return { ids, scores };
}

function idsOf(tokenizer, text) {
  try {
    return tokenizer(text, { truncation: true, return_tensor: false }).input_ids;
  } catch (error) {
    console.error(error);
    return null;
  }
}

/** The scores of a text in the order of the labels. */
export function inOrder(ranked, labels) {
  const byLabel = new Map(ranked.map(({ label, score }) => [label, score]));
  return labels.map((label) => byLabel.get(label));
}

async function scoresOf(classify, text, labels) {
  try {
    return inOrder(await classify(text, { top_k: null }), labels);
  } catch (error) {
    console.error(error);
    return null;
  }
}
