// Answers texts with a model by an onnxruntime package of JavaScript: a JSON question on standard
// input, a JSON answer on standard output.
const fs = require("fs");

async function main() {
  const { runtime, model, texts } = JSON.parse(fs.readFileSync(0, "utf8"));
  const ort = require(runtime);
  const options = { executionProviders: [runtime === "onnxruntime-web" ? "wasm" : "cpu"] };
  if (runtime === "onnxruntime-web") ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(fs.readFileSync(model), options);
  const found = await session.run({ text: new ort.Tensor("string", texts, [texts.length]) });
  const plain = (value) => (typeof value === "bigint" ? Number(value) : value);
  const answer = {};
  for (const [name, tensor] of Object.entries(found)) {
    answer[name] = { dims: tensor.dims, data: Array.from(tensor.data, plain) };
  }
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
