import { presets } from "birkhoff/models";
import { parseTrainingConfig } from "birkhoff/training";

// What is left out has a default; a field that is wrong is named, with what is allowed.
const config = parseTrainingConfig({
  name: "my-nano",
  data: { source: "my.txt", vocabulary: 270 },
  model: { ...presets.nano, vocabulary: 270, context: 32, connection: { kind: "mhc" } },
  batch: 4,
  steps: 8,
  optimizer: { learningRate: 3e-3, warmup: 2, schedule: { kind: "step" } },
  evaluateEvery: 4,
  checkpointEvery: 4,
});
console.log(config.model.connection);
