import { decodeRun, encodeRun, parseTrainingConfig, presets, trainTokenizer } from "birkhoff/browser";

const tokenizer = trainTokenizer(["a small text, and the same again"], { vocabularySize: 270 });
const vocabulary = tokenizer.vocabularySize;
const config = parseTrainingConfig({
  name: "nano-mhc",
  data: { source: "pasted", vocabulary },
  model: { ...presets.nano, vocabulary, connection: { kind: "mhc" } },
  batch: 4,
  steps: 100,
  optimizer: { learningRate: 3e-3, warmup: 5, schedule: { kind: "cosine" } },
  evaluateEvery: 10,
  checkpointEvery: 20,
});
// With `state: await trainer.save()` it holds where the training stands; write the files where you can, or zip them.
const files = await encodeRun({ config, tokenizer, metrics: [], gains: [] });
console.log(Object.keys(files), (await decodeRun(files)).config.name);
