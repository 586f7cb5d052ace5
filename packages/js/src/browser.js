// gatewise-js in a page: model folders by address, networks by onnxruntime-web as WebAssembly.

import { BaseClassifier } from "./classifier.js";
import { fetchedFiles } from "./files.js";

export { EmptyTextError, GatewiseError } from "./errors.js";

export class Classifier extends BaseClassifier {
  static async load(place, { ort, ...options } = {}) {
    const runtime = ort ?? (await import("onnxruntime-web/wasm"));
    // More threads need a page that is isolated from others, and do not help networks this small.
    runtime.env.wasm.numThreads ||= 1;
    const address = new URL(place, globalThis.document?.baseURI ?? globalThis.location.href);
    return this.open(address.href, fetchedFiles, runtime, options);
  }
}
