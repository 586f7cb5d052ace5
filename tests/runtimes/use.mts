// Uses gatewise-js as its types allow, and as they must not; only compiled.

import { Classifier, EmptyTextError, GatewiseError, type Score } from "gatewise-js";

const classifier: Classifier = await Classifier.load("model", { precision: "int8" });
const one: Score[] = await classifier.classify("a text", { topK: 3 });
const many: Score[][] = await classifier.classify(["a text", "another"]);
export const ofSequence: Score[] = await classifier.classify([[0.5, null], [1, NaN]]);
export const ofSeries: Score[] = await classifier.classify(new Float32Array(10), { topK: 3 });
export const best: [string, number] = [one[0].label, many[0][0].score];
export const labels: readonly string[] = classifier.labels;
export const isOurs = (error: unknown): boolean => error instanceof GatewiseError;
export const empty: GatewiseError = new EmptyTextError("empty");

// @ts-expect-error: a text is a string
await classifier.classify(3);
// @ts-expect-error: no such precision
await Classifier.load("model", { precision: "int4" });
// @ts-expect-error: made by `load` alone
new Classifier();
