import { presets } from "birkhoff/models";
import { blockOptimum, chooseRecompute, planStepMemory } from "birkhoff/planning";
import { plannedMachine } from "birkhoff/runtime";
import { parseTrainingConfig } from "birkhoff/training";

const config = parseTrainingConfig({
  name: "plan",
  data: { source: "-", vocabulary: 270 },
  model: { ...presets.nano, vocabulary: 270, connection: { kind: "mhc" } },
  batch: 4,
  steps: 1,
  optimizer: { learningRate: 3e-3, warmup: 0, schedule: { kind: "constant" } },
  evaluateEvery: 1,
  checkpointEvery: 1,
});
const machine = plannedMachine({ threads: 2 });
const storeEvery = chooseRecompute(config, machine); // sublayers between stored states
console.log(planStepMemory(config, machine), planStepMemory(config, machine, storeEvery), blockOptimum(4, 16));
