// Models that stay loaded in Node: reads commands from standard input, one JSON object a line, and
// writes what comes of them to standard output, one line each.
//
//     node node.mjs NODE_MODULES MODELS
//
// MODELS is the folder that the model folders are in.

import fs from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";

import { resident } from "./resident.mjs";

const [modules, models] = process.argv.slice(2);
const require = createRequire(path.join(modules, "/"));
const library = require("@huggingface/transformers");
Object.assign(library.env, {
  allowRemoteModels: false,
  localModelPath: models,
  useFSCache: false,
});
const placeOf = (file) => path.join(models, file);
const tell = resident(
  "Node",
  { name: "onnxruntime-node", ort: require("onnxruntime-node") },
  library,
  placeOf,
  async (file) => JSON.parse(await fs.readFile(placeOf(file), "utf-8")),
);

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await tell(JSON.parse(line)))}\n`);
}
