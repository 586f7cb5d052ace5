// Holds models ready in Node: reads what it is told from standard input, one JSON object a line, and
// writes what comes of it to standard output, one line each.
//
//     node node_held.mjs NODE_MODULES MODELS
//
// MODELS is the folder that the model folders are in.

import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";

import { holder } from "./held.mjs";

const [modules, models] = process.argv.slice(2);
const require = createRequire(path.join(modules, "/"));
const library = require("@huggingface/transformers");
Object.assign(library.env, {
  allowRemoteModels: false,
  localModelPath: models,
  useFSCache: false,
});
const ort = require("onnxruntime-node");
const tell = holder(ort, library, (file) => path.join(models, file));

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await tell(JSON.parse(line)))}\n`);
}
