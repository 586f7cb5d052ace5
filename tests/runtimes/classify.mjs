// Answers requests to gatewise-js in Node, one JSON object a line, for test_javascript_package.py.
//
// A request is `{ place, options, texts, topK }`; `topK` null gives the predicted labels, and
// "all" every label. With `sequences` in place of `texts`, each is classified by itself.

import readline from "node:readline";

import { Classifier, EmptyTextError } from "gatewise-js";

/** What the classifier answers; an error by its name and message. */
async function answer({ place, options, texts, sequences, topK }) {
  try {
    const classifier = await Classifier.load(place, options ?? {});
    const limit = topK === null ? {} : { topK: topK === "all" ? Infinity : topK };
    const scores = sequences ? [] : await classifier.classify(texts, limit);
    for (const each of sequences ?? []) scores.push(await classifier.classify(each, limit));
    const ids = Array.isArray(texts) ? texts.map((text) => classifier.encode(text)) : null;
    const { labels, multiLabel } = classifier;
    await classifier.release();
    return { labels, multiLabel, scores, ids };
  } catch (error) {
    return { error: error.name, message: error.message, empty: error instanceof EmptyTextError };
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
