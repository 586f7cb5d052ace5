// How long a call takes. Knows not what is called.

const ROUNDS = 15;
const CALLS = 20; // of a round: some browsers tell the time in tenths of a millisecond

/**
 * Milliseconds of each of so many calls, one after the other.
 *
 * @param {() => Promise<unknown>} call What is timed.
 * @param {number} calls How many.
 * @returns {Promise<number[]>} One number a call; their sum is exact to one tick of the clock.
 */
export async function milliseconds(call, calls) {
  const found = [];
  let start = performance.now();
  for (let number = 0; number < calls; number += 1) {
    await call();
    const end = performance.now();
    found.push(end - start);
    start = end;
  }
  return found;
}

/**
 * Milliseconds of one call in each of several rounds, after one round that is not counted.
 *
 * @param {() => Promise<unknown>} call What is timed.
 * @returns {Promise<number[]>} One number a round, the mean of its calls.
 */
export async function times(call) {
  const rounds = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const taken = await milliseconds(call, CALLS);
    rounds.push(taken.reduce((total, one) => total + one, 0) / CALLS);
  }
  return rounds.slice(1);
}
