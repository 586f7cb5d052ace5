// Answers questions in a browser: the page calls `answer`, or `tell` where it holds models ready, and
// hands on what it gives. Knows where the server of `in_chromium.py` has libraries and models, and
// no file.

import * as engine from "./engine.mjs";
import { holder } from "./held.mjs";
import * as transformers from "./transformers.mjs";

const WASM = "/node_modules/onnxruntime-web/dist/";

let held = null;

/**
 * @param {number} number The question's number; its model is a folder of the same number.
 * @returns {Promise<object>} What each runtime answers.
 */
export async function answer(number) {
  const question = await (await fetch(`/questions/${number}.json`)).json();
  const library = await transformersLibrary();
  const model = String(number);
  const found = {
    "Transformers.js in Chromium": await transformers.answers(library, { ...question, model }),
  };
  if (question.dtype !== null) {
    const file = `/models/${number}/${question.file}`;
    const ort = await onnxruntime();
    found["onnxruntime-web in Chromium"] = await engine.answers(ort, file, question);
  }
  return found;
}

/**
 * @param {object} told See `holder`.
 * @returns {Promise<unknown>} What came of it.
 */
export async function tell(told) {
  held ??= holder(await onnxruntime(), await transformersLibrary(), (file) => `/models/${file}`);
  return held(told);
}

async function transformersLibrary() {
  const library = await import("/node_modules/@huggingface/transformers/dist/transformers.min.js");
  Object.assign(library.env, {
    allowLocalModels: true,
    allowRemoteModels: false,
    localModelPath: "/models/",
    useBrowserCache: false,
    useWasmCache: false,
  });
  Object.assign(library.env.backends.onnx.wasm, { wasmPaths: WASM, numThreads: 1 });
  return library;
}

async function onnxruntime() {
  const ort = await import(`${WASM}ort.wasm.min.mjs`);
  Object.assign(ort.env.wasm, { wasmPaths: WASM, numThreads: 1 });
  return ort;
}
