import { openRuntime } from "birkhoff";
import { presets } from "birkhoff/models";
import { openRun, prepareData, readRunData } from "birkhoff/runs";
import { parseTrainingConfig } from "birkhoff/training";

const data = await prepareData({ source: "my.txt", vocabularySize: 270, cacheFolder: ".cache" });
const config = parseTrainingConfig({
  name: "tiny",
  data: { source: "my.txt", vocabulary: 270 },
  model: { ...presets.nano, vocabulary: data.tokenizer.vocabularySize, context: 32, connection: { kind: "mhc" } },
  batch: 4,
  steps: 4,
  optimizer: { learningRate: 3e-3, warmup: 2, schedule: { kind: "step" } },
  evaluateEvery: 2,
  checkpointEvery: 2,
});
const runtime = await openRuntime();
const run = await openRun(runtime, config, data, "runs/tiny"); // { existing: "resume" } goes on from the last checkpoint
while (!run.finished) await run.advance();
run.close();
console.log(readRunData("runs/tiny").metrics.at(-1)); // loss, gradient norm, learning rate, validation
runtime.close();
data.close();
