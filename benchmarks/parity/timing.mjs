// How long a call takes. Knows not what is called.

const ROUNDS = 15;
const CALLS = 20; // of a round: browsers tell the time in tenths of a millisecond

/**
 * Milliseconds of one call in each of several rounds, after one round that is not counted.
 *
 * @param {() => Promise<unknown>} call What is timed.
 * @returns {Promise<number[]>} One number a round, the mean of its calls.
 */
export async function times(call) {
  const rounds = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const start = performance.now();
    for (let number = 0; number < CALLS; number += 1) await call();
    rounds.push((performance.now() - start) / CALLS);
  }
  return rounds.slice(1);
}
