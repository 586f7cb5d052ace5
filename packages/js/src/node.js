// gatewise-js in Node: model folders by path or address, networks by onnxruntime-node.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { BaseClassifier } from "./classifier.js";
import { GatewiseError } from "./errors.js";
import { Files, fetchedFiles } from "./files.js";

export { EmptyTextError, GatewiseError } from "./errors.js";

export class Classifier extends BaseClassifier {
  static async load(place, { ort, ...options } = {}) {
    const runtime = ort ?? (await import("onnxruntime-node"));
    const url = /^https?:/i.test(place);
    const local = () => (String(place).startsWith("file:") ? fileURLToPath(place) : String(place));
    return this.open(url ? String(place) : local(), url ? fetchedFiles : filesOf, runtime, options);
  }
}

function filesOf(folder) {
  return new Files(folder, async (name) => {
    try {
      return new Uint8Array(await readFile(path.join(folder, name)));
    } catch (error) {
      throw new GatewiseError(`${path.join(folder, name)}: cannot be read: ${error.code}`);
    }
  });
}
