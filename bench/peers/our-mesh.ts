// Question: what does one rank of a pipeline, or of ranks that share experts, do in a step?
//
//   mpirun -n 2 node bench/peers/our-mesh.ts pipeline --connection mhc --batch 4 --threads 1 --rounds 8
//   mpirun -n 2 node bench/peers/our-mesh.ts experts --connection mhc --batch 4 --threads 1 --rounds 8
//
// `pipeline` trains with two stages and compares each step with its simulation: with the shortest message that was seen, or
// with --rate with messages that a link of so many Mbit/s would carry, and without any. The idle time is also simulated with
// the time that each pass took itself. `experts` trains a mixture whose
// ranks share the experts, in turns with one in which each has all. Rank 0 prints what it saw as one line of JSON.

import { parseArgs } from "node:util";
import { comparePipeline } from "../../src/planning/pipeline/measured.ts";
import { modelSchema } from "../../src/model/config.ts";
import { openCollective } from "../../src/runtime/collective/open.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../src/training/config.ts";
import { predictRanks } from "../../src/training/parallel/memory.ts";
import { createMesh } from "../../src/training/parallel/mesh.ts";
import { createPipelinedTrainer } from "../../src/training/parallel/pipeline/trainer.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { inventedBatches } from "../lib/invented-batches.ts";
import { modelOf, sizeOptions } from "../lib/sizes.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...sizeOptions,
    batch: { type: "string", default: "2" },
    accumulate: { type: "string", default: "4" },
    rounds: { type: "string", default: "8" },
    rate: { type: "string" },
  },
});

const WARM = 2;
const collective = await openCollective();
const runtime = await createWasmRuntime({ threads: Number(values.threads) });
const configOf = (model: TrainingConfig["model"]): TrainingConfig =>
  parseTrainingConfig({
    name: "bench",
    data: { source: "-", vocabulary: model.vocabulary },
    model,
    batch: Number(values.batch),
    accumulate: Number(values.accumulate),
    steps: 1_000_000,
    optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1_000_000,
    checkpointEvery: 1_000_000,
  });

const works = { pipeline: measurePipeline, experts: measureExperts };
const work = works[positionals[0] as keyof typeof works];
if (!work) throw new Error(`our-mesh: ${positionals[0]} is given; give pipeline or experts.`);
const measured = await work(Number(values.rounds));
if (collective.rank === 0) process.stdout.write(`${JSON.stringify(measured)}\n`);
await collective.close();
runtime.close();

async function measurePipeline(rounds: number): Promise<Record<string, number[]>> {
  const config = configOf(modelOf(values));
  const mesh = { data: 1, pipeline: collective.size, expert: 1 };
  const plan = { mesh, schedule: "1f1b", chunks: 1, watched: true } as const;
  const trainer = createPipelinedTrainer(runtime, config, inventedBatches(config), createMesh(collective, mesh), plan);
  const { connection, width, context } = config.model;
  const streams = "streams" in connection ? connection.streams : 1;
  const bytes = 4 * streams * width * context * config.batch;
  const message = values.rate === undefined ? undefined : (8 * bytes) / (1000 * Number(values.rate));
  const seen: Record<"bubble" | "simulatedBubble" | "ownBubble" | "step" | "simulatedStep" | "silentStep", number[]> = {
    bubble: [],
    simulatedBubble: [],
    ownBubble: [],
    step: [],
    simulatedStep: [],
    silentStep: [],
  };
  for (let round = -WARM; round < rounds; round++) {
    await trainer.trainStep();
    if (round < 0) continue;
    const compared = comparePipeline(trainer.timeline(), plan, trainer.microBatches, message);
    const own = comparePipeline(trainer.timeline(), plan, trainer.microBatches, message, "own");
    const silent = comparePipeline(trainer.timeline(), plan, trainer.microBatches, 0);
    seen.bubble.push(compared.measured.report.bubble);
    seen.simulatedBubble.push(compared.simulated.report.bubble);
    seen.ownBubble.push(own.simulated.report.bubble);
    seen.step.push(compared.measured.report.makespan);
    seen.simulatedStep.push(compared.simulated.report.makespan);
    seen.silentStep.push(silent.simulated.report.makespan);
  }
  return { ...seen, bytes: [bytes] };
}

async function measureExperts(rounds: number): Promise<Record<string, number[]>> {
  const dense = modelOf(values);
  const experts = { kind: "moe", experts: 16, active: 2, shared: 1, hidden: dense.hidden / 4, denseLayers: 0 };
  const config = configOf(modelSchema.parse({ ...dense, feedForward: experts }));
  const sizes = {
    shared: { data: 1, pipeline: 1, expert: collective.size },
    whole: { data: collective.size, pipeline: 1, expert: 1 },
  };
  const found: Record<string, number[]> = {};
  const trainers = Object.entries(sizes).map(([name, size]) => {
    const [first] = predictRanks(config, runtime.machine, { mesh: size, schedule: "1f1b", chunks: 1 });
    found[`${name}Bytes`] = [first!.runtimeBytes];
    return { name, trainer: createTrainer(runtime, config, inventedBatches(config), createMesh(collective, size)) };
  });
  for (let round = -WARM; round < rounds; round++)
    for (const { name, trainer } of trainers) {
      await collective.barrier().done();
      const started = performance.now();
      await trainer.trainStep();
      if (round >= 0) (found[name] ??= []).push(performance.now() - started);
    }
  return found;
}
