// Models that stay loaded in a process or a page, which does one command after another.

import * as engine from "./engine.mjs";
import { milliseconds } from "./timing.mjs";
import * as transformers from "./transformers.mjs";

/**
 * Makes the function that does a command, `{ what, ...options }`.
 *
 * - `compare`: what every library answers to the `question` in a JSON file.
 * - `network`: loads the network of a `file` with the `ids` of some texts; gives it a number.
 * - `pipeline`: loads a pipeline of Transformers.js with some `texts`; gives it a number.
 * - `answer`: the logits or scores of that `number`, an array a text.
 * - `time`: the milliseconds of each of so many `calls` of it, after one that is not counted.
 *
 * @param {string} where The name of the environment, as in "Transformers.js in Node".
 * @param {object} ort onnxruntime, and its `name`.
 * @param {object} library Transformers.js, configured to find the models.
 * @param {(file: string) => string} placeOf Where a file under the folder of all models is.
 * @param {(file: string) => Promise<object>} read The contents of a JSON file there.
 * @returns {(command: object) => Promise<unknown>}
 */
export function resident(where, { name, ort }, library, placeOf, read) {
  const loaded = [];
  const commands = {
    async compare({ question }) {
      const asked = await read(question);
      const found = { [`Transformers.js in ${where}`]: await transformers.answers(library, asked) };
      if (asked.dtype !== null) {
        found[name] = await engine.answers(ort, placeOf(`${asked.model}/${asked.file}`), asked);
      }
      return found;
    },
    async network({ file, ids }) {
      const session = await engine.open(ort, placeOf(file));
      const given = engine.inputs(ort, ids);
      const call = () => session.run(given);
      return loaded.push({ call, rows: async () => rows((await call()).logits, ids.length) }) - 1;
    },
    async pipeline({ model, dtype, texts, labels }) {
      const classify = await library.pipeline("text-classification", model, { dtype });
      const call = () => classify(texts, { top_k: null });
      const scores = async () => (await call()).map((one) => transformers.inOrder(one, labels));
      return loaded.push({ call, rows: scores }) - 1;
    },
    answer: ({ number }) => loaded[number].rows(),
    async time({ number, calls }) {
      await loaded[number].call();
      return milliseconds(loaded[number].call, calls);
    },
  };
  return ({ what, ...options }) => commands[what](options);
}

function rows({ data }, count) {
  const width = data.length / count;
  return Array.from({ length: count }, (_, row) =>
    Array.from(data.subarray(row * width, (row + 1) * width)),
  );
}
