// Runs every test vector of an exported model in onnxruntime-web, without another library, and shows
// the difference of its scores from those in `test_vectors.json`. The vectors have ids, so no tokenizer
// is needed.

import * as ort from "./lib/ort.wasm.min.mjs";

const TOLERANCE = 1e-4;

/**
 * Scores from a model's logits.
 *
 * @param {number[]} logits One for each label.
 * @param {"softmax"|"sigmoid"} name The score function.
 */
function scoresOf(logits, name) {
  if (name === "sigmoid") return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

async function logitsOf(session, ids) {
  const shape = [1, ids.length];
  const { logits } = await session.run({
    input_ids: new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), shape),
    attention_mask: new ort.Tensor("int64", new BigInt64Array(ids.length).fill(1n), shape),
  });
  return Array.from(logits.data);
}

function cell(name, content) {
  const made = document.createElement(name);
  made.textContent = content;
  return made;
}

/** One vector as a row of the table; `passes` if its scores are within the tolerance. */
function row(vector, labels, scores) {
  const difference = Math.max(...scores.map((score, place) => Math.abs(score - vector.scores[place])));
  const passes = scores.length === vector.scores.length && difference <= TOLERANCE;
  const best = scores.indexOf(Math.max(...scores));
  const made = document.createElement("tr");
  const offBy = difference === 0 ? "0" : difference.toExponential(0);
  made.className = passes ? "passes" : "differs";
  const text = cell("td", "");
  text.append(cell("span", vector.text));
  made.append(
    text,
    cell("td", labels[best]),
    cell("td", scores[best].toFixed(4)),
    cell("td", passes ? offBy : `${offBy}: differs`),
  );
  return { made, passes };
}

async function run() {
  const site = await (await fetch("site.json")).json();
  const expected = await (await fetch(site.vectors)).json();
  Object.assign(ort.env.wasm, {
    wasmPaths: new URL("lib/", document.baseURI).href,
    numThreads: 1,
  });
  const session = await ort.InferenceSession.create(site.network);
  const body = document.querySelector("tbody");
  let passed = 0;
  for (const vector of expected.vectors) {
    const logits = await logitsOf(session, vector.input_ids);
    const scores = scoresOf(logits, expected.score_function);
    const { made, passes } = row(vector, expected.labels, scores);
    passed += passes ? 1 : 0;
    body.append(made);
  }
  return `${passed} of ${expected.vectors.length} vectors pass.`;
}

const answer = document.querySelector("#answer");
try {
  answer.textContent = await run();
} catch (error) {
  answer.textContent = `The vectors cannot be run: ${error.message}`;
  throw error;
}
