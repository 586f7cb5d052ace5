// Logits to scores to labels, as `service/model/scores.py` computes them.

/** The score functions by name; they are computed in 64 bits and rounded to 32. */
export const FUNCTIONS = {
  softmax(logits) {
    const largest = Math.max(...logits);
    const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => Math.fround(power / sum));
  },

  sigmoid(logits) {
    return Array.from(logits, (logit) => {
      // The power of a number that is not positive alone: another could overflow.
      const small = Math.exp(-Math.abs(logit));
      return Math.fround(logit >= 0 ? 1 / (1 + small) : small / (1 + small));
    });
  },

  /** Of a model that predicts a number. */
  none(logits) {
    return Array.from(logits);
  },
};

/**
 * The labels of a text with their scores, best first; equal scores in the labels' order.
 *
 * @param {string[]} labels The label of each score.
 * @param {number[]} scores
 * @returns {{label: string, score: number}[]}
 */
export function ranked(labels, scores) {
  return labels
    .map((label, index) => ({ label, score: scores[index] }))
    .sort((one, other) => other.score - one.score);
}
