// Answers one question in a browser: the page calls `answer` and hands on what it gives. Knows
// where the server of `in_chromium.py` has libraries and models, and no file.

import * as engine from "./engine.mjs";
import * as transformers from "./transformers.mjs";

const WASM = "/node_modules/onnxruntime-web/dist/";

/**
 * @param {number} number The question's number; its model is a folder of the same number.
 * @returns {Promise<object>} What each runtime answers.
 */
export async function answer(number) {
  const question = await (await fetch(`/questions/${number}.json`)).json();
  const library = await import("/node_modules/@huggingface/transformers/dist/transformers.min.js");
  Object.assign(library.env, {
    allowLocalModels: true,
    allowRemoteModels: false,
    localModelPath: "/models/",
    useBrowserCache: false,
    useWasmCache: false,
  });
  Object.assign(library.env.backends.onnx.wasm, { wasmPaths: WASM, numThreads: 1 });
  const model = String(number);
  const found = {
    "Transformers.js in Chromium": await transformers.answers(library, { ...question, model }),
  };
  if (question.dtype !== null) {
    const ort = await import(`${WASM}ort.wasm.min.mjs`);
    Object.assign(ort.env.wasm, { wasmPaths: WASM, numThreads: 1 });
    const file = `/models/${number}/${question.file}`;
    found["onnxruntime-web in Chromium"] = await engine.answers(ort, file, question);
  }
  return found;
}
