// Question: what does one rank of a training that several share do in a step, and what of the exchange is hidden?
//
//   mpirun -n 2 node bench/peers/our-ranks.ts step --connection mhc --batch 4 --threads 1 --rounds 8
//   mpirun -n 2 node bench/peers/our-ranks.ts behind --connection mhc --batch 4 --threads 1 --rounds 8
//   mpirun -n 2 node bench/peers/our-ranks.ts overlap --connection mhc --batch 4 --threads 1 --rounds 8
//
// `step` times the step of the trainer that `birkhoff train` uses. `behind` times, in turns, several that follow each other, so
// that parameters arrive behind the next forward pass, and as many that wait for them. `overlap` times, in turns, three things that all ranks
// begin together: a microbatch whose gradients go nowhere, its gradients' messages alone, and the microbatch with its
// messages. Rank 0 prints the milliseconds of each round as one line of JSON.

import { parseArgs } from "node:util";
import type { Collective, Pending } from "../../src/runtime/collective/collective.ts";
import { openCollective } from "../../src/runtime/collective/open.ts";
import { given } from "../../src/basics/given.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../src/training/config.ts";
import { initialise } from "../../src/training/initialise.ts";
import { writeBatch } from "../../src/training/inputs.ts";
import { createExchange, type Exchange } from "../../src/training/parallel/exchange.ts";
import { ownBatches } from "../../src/training/parallel/share.ts";
import { compileTraining } from "../../src/training/programs.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { inventedBatches } from "../lib/invented-batches.ts";
import { modelOf, sizeOptions } from "../lib/sizes.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...sizeOptions,
    batch: { type: "string", default: "4" },
    rounds: { type: "string", default: "8" },
    reduce: { type: "string", default: "float32" },
  },
});

/** Steps that follow each other; after the last, parameters are waited for. */
const FOLLOWING = 6;

const collective = await openCollective();
const runtime = await createWasmRuntime({ threads: Number(values.threads) });
const model = modelOf(values);
const config = parseTrainingConfig({
  name: "bench",
  reducePrecision: values.reduce,
  data: { source: "-", vocabulary: model.vocabulary },
  model,
  batch: Number(values.batch) * collective.size,
  steps: 1_000_000,
  optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
  evaluateEvery: 1_000_000,
  checkpointEvery: 1_000_000,
});

const measures = { step: measureSteps, behind: measureBehind, overlap: measureOverlap };
const measure = measures[positionals[0] as keyof typeof measures];
if (!measure) throw new Error(`our-ranks: ${positionals[0]} is given; give step or overlap.`);
const measured = await measure(runtime, collective, config, Number(values.rounds));
if (collective.rank === 0) process.stdout.write(`${JSON.stringify(measured)}\n`);
await collective.close();
runtime.close();

/** How long something takes that all ranks begin together. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  await collective.barrier().done();
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function measureSteps(
  on: WasmRuntime,
  ranks: Collective,
  of: TrainingConfig,
  rounds: number,
): Promise<{ step: number[] }> {
  const trainer = createTrainer(on, of, inventedBatches(of), ranks);
  const step: number[] = [];
  for (let round = -2; round < rounds; round++) {
    const ms = await timed(() => trainer.trainStep());
    if (round >= 0) step.push(ms);
  }
  return { step };
}

async function measureBehind(
  on: WasmRuntime,
  ranks: Collective,
  of: TrainingConfig,
  rounds: number,
): Promise<Record<"behind" | "waiting", number[]>> {
  const trainer = createTrainer(on, of, inventedBatches(of), ranks);
  const result = { behind: [] as number[], waiting: [] as number[] };
  for (let round = -1; round < rounds; round++)
    for (const name of ["behind", "waiting"] as const) {
      const ms = await timed(async () => {
        for (let left = FOLLOWING; left > 0; left--)
          await trainer.trainStep({ ahead: name === "behind" && left > 1 ? {} : undefined });
      });
      if (round >= 0) result[name].push(ms / FOLLOWING);
    }
  return result;
}

async function measureOverlap(
  on: WasmRuntime,
  ranks: Collective,
  of: TrainingConfig,
  rounds: number,
): Promise<Record<"compute" | "messages" | "together", number[]> & { bytes: number }> {
  const { parameters, graph, micro, shared } = compileTraining(on, of, ranks);
  initialise(on, parameters, of.seed);
  const { step, share } = shared!;
  writeBatch(on, graph, ownBatches(inventedBatches(of), share)(0, 0));
  const nowhere: Pending = { test: () => true, done: () => Promise.resolve() };
  const begun: Pending[] = [];
  const exchangeBy = (over: (pending: () => Pending) => Pending): Exchange => {
    const among: Collective = {
      ...ranks,
      reduceScatter: (all, own) => over(() => ranks.reduceScatter(all, own)),
      allToAll: (all, own) => over(() => ranks.allToAll(all, own)),
    };
    return createExchange(on, { rows: among, data: among }, step, {
      total: share.total,
      ...given({ reducePrecision: of.reducePrecision }),
    });
  };
  const silent = exchangeBy(() => nowhere);
  const talking = exchangeBy((begin) => {
    begun.push(begin());
    return begun.at(-1)!;
  });
  const arrived = async (): Promise<void> => {
    for (const each of begun.splice(0)) await each.done();
  };
  const narrow = of.reducePrecision === "bfloat16";
  const messages = step.layout.buckets.map(({ part }) => [
    new Float32Array((part * ranks.size) / (narrow ? 2 : 1)),
    new Float32Array(narrow ? (part * ranks.size) / 2 : part),
  ]);
  const result = { compute: [] as number[], messages: [] as number[], together: [] as number[] };
  const works = {
    compute: () => silent.run(micro),
    async messages() {
      for (const [all, own] of messages)
        begun.push(narrow ? ranks.allToAll(all!, own!) : ranks.reduceScatter(all!, own!));
      await arrived();
    },
    async together() {
      await talking.run(micro);
      await arrived();
    },
  };
  for (let round = -1; round < rounds; round++)
    for (const name of ["compute", "messages", "together"] as const) {
      const ms = await timed(works[name]);
      if (round >= 0) result[name].push(ms);
    }
  return { ...result, bytes: messages.reduce((sum, [all]) => sum + all!.byteLength / 2, 0) };
}
