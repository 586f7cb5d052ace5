// Networks that are kept ready and asked when it is their turn. Knows neither where libraries and
// models come from nor where the answers go.

import { inputs, opened } from "./engine.mjs";
import { milliseconds } from "./timing.mjs";
import { inOrder } from "./transformers.mjs";

/**
 * Does what it is told, one object at a time: `tell({ what, ...more })`.
 *
 * `network` keeps the network of a `file` with the `ids` of some texts, `pipeline` one of
 * Transformers.js with some `texts`, of which it is given as many at a time as a `batch` has, or all;
 * both give a number. `answer` gives what that number answers, logits or scores, an array a
 * text; `time` the milliseconds of each of so many `calls`, after one that is not counted.
 *
 * @param {object} ort onnxruntime.
 * @param {object} library Transformers.js, told where models are.
 * @param {(file: string) => string} placeOf Where a file under the folder of all models is.
 * @returns {(told: object) => Promise<unknown>}
 */
export function holder(ort, library, placeOf) {
  const held = [];
  const doing = {
    async network({ file, ids }) {
      const session = await opened(ort, placeOf(file));
      const given = inputs(ort, ids);
      const call = () => session.run(given);
      return held.push({ call, rows: async () => rows((await call()).logits, ids.length) }) - 1;
    },
    async pipeline({ model, dtype, texts, labels, batch = texts.length }) {
      const classify = await library.pipeline("text-classification", model, { dtype });
      const call = async () => {
        const ranked = [];
        for (let start = 0; start < texts.length; start += batch) {
          ranked.push(...(await classify(texts.slice(start, start + batch), { top_k: null })));
        }
        return ranked;
      };
      const scored = async () => (await call()).map((ranked) => inOrder(ranked, labels));
      return held.push({ call, rows: scored }) - 1;
    },
    answer: ({ number }) => held[number].rows(),
    async time({ number, calls }) {
      await held[number].call();
      return milliseconds(held[number].call, calls);
    },
  };
  return ({ what, ...more }) => doing[what](more);
}

function rows({ data }, count) {
  const width = data.length / count;
  return Array.from({ length: count }, (_, row) =>
    Array.from(data.subarray(row * width, (row + 1) * width)),
  );
}
