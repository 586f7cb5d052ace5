// How long calls take.

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
