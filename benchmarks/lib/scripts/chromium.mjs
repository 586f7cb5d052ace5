// Models that stay loaded in a page of Chromium, which calls `tell`. The server of `javascript.py`
// has the libraries and the models.

import { resident } from "./resident.mjs";

const WASM = "/node_modules/onnxruntime-web/dist/";

let loaded = null;

/**
 * @param {object} command See `resident`.
 * @returns {Promise<unknown>} What came of it.
 */
export async function tell(command) {
  const placeOf = (file) => `/models/${file}`;
  loaded ??= resident(
    "Chromium",
    { name: "onnxruntime-web in Chromium", ort: await onnxruntime() },
    await transformersLibrary(),
    placeOf,
    async (file) => (await fetch(placeOf(file))).json(),
  );
  return loaded(command);
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
