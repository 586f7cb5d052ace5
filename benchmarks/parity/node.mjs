// Answers the questions of one file in Node and writes the answers into another.
//
//     node node.mjs NODE_MODULES QUESTIONS ANSWERS
//
// A question names its model by the path of its folder.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import * as engine from "./engine.mjs";
import * as transformers from "./transformers.mjs";

const [modules, questions, out] = process.argv.slice(2);
const require = createRequire(path.join(modules, "/"));

async function answer(question) {
  const library = require("@huggingface/transformers");
  const { dir, base } = path.parse(question.folder);
  Object.assign(library.env, {
    allowRemoteModels: false,
    localModelPath: dir,
    useFSCache: false,
  });
  const found = {
    "Transformers.js in Node": await transformers.answers(library, { ...question, model: base }),
  };
  if (question.dtype !== null) {
    const model = path.join(question.folder, question.file);
    const ort = require("onnxruntime-node");
    found["onnxruntime-node"] = await engine.answers(ort, model, question);
  }
  return found;
}

const found = [];
for (const question of JSON.parse(fs.readFileSync(questions, "utf-8"))) {
  found.push(await answer(question));
}
fs.writeFileSync(out, JSON.stringify(found));
