// Sequences of numbers as a network reads them.

import { GatewiseError, kindOf } from "./errors.js";

/**
 * The steps of a sequence, each with its numbers; NaN where one is missing.
 *
 * @param {ArrayLike<number|null>|ArrayLike<ArrayLike<number|null>>} sequence Its steps: vectors, or
 *   numbers if a step has one.
 * @param {number} features The numbers of a step.
 * @returns {number[][]}
 */
export function stepsOf(sequence, features) {
  if (!isList(sequence)) {
    throw new GatewiseError(
      `expected a sequence of numbers, which is what the model reads, received ${kindOf(sequence)}`,
    );
  }
  if (sequence.length === 0) throw new GatewiseError("the sequence is empty: it holds no number");
  return Array.from(sequence, (step, index) => {
    const vector = isList(step) ? step : [step];
    if (vector.length !== features) {
      throw new GatewiseError(
        `step ${index}, counted from 0: expected ${features} numbers, received ${vector.length}`,
      );
    }
    return Array.from(vector, (value) => numberOf(value, index));
  });
}

function numberOf(value, index) {
  if (value === null || Number.isNaN(value)) return NaN;
  if (typeof value === "number" && Number.isFinite(Math.fround(value))) return value;
  const received = typeof value === "number" ? value : kindOf(value);
  throw new GatewiseError(
    `step ${index}, counted from 0: expected a finite number of 32 bits, or null, received ` +
      `${received}${isList(value) ? ": give one sequence at a time" : ""}`,
  );
}

function isList(value) {
  return Array.isArray(value) || ArrayBuffer.isView(value);
}
