// Question: what share of training time do the instruments take at their default interval?
//
// Plain training steps and steps that also read the instruments take turns, with the same trainer. There are
// `gainsEvery` steps between two readings, so the share is (with / without - 1) / gainsEvery, from medians. A reading
// includes making its line of gains.jsonl, but not writing it to disk.

import { createBatches } from "../src/data/batches.ts";
import { memoryTokens } from "../src/data/tokens.ts";
import { type ConnectionKind, defaultConnection } from "../src/connections/table.ts";
import { type Preset, presets } from "../src/model/config.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../src/runtime/wasm/runtime.ts";
import { rounded } from "../src/stability/instruments.ts";
import { parseTrainingConfig } from "../src/training/config.ts";
import { createTrainer, type Trainer } from "../src/training/trainer.ts";
import type { Group } from "./lib/group.ts";
import { race } from "./lib/race.ts";
import { type Measured, milliseconds } from "./lib/report.ts";

const THREADS = 2;
const VOCABULARY = 1024;
const BATCH = 16;
const BAR = 0.02;

type Subject = { readonly preset: Preset; readonly kind: ConnectionKind };

/** The first is the model of `birkhoff compare`. */
const subjects: Readonly<Record<string, Subject>> = {
  "instruments.overhead": { preset: "nano", kind: "mhc" },
  "instruments.overhead.hc": { preset: "nano", kind: "hc" },
  "instruments.overhead.residual": { preset: "nano", kind: "residual" },
  "instruments.overhead.micro": { preset: "micro", kind: "mhc" },
};

function trainerOf(runtime: WasmRuntime, { preset, kind }: Subject): Trainer {
  const config = parseTrainingConfig({
    name: "bench",
    data: { source: "-", vocabulary: VOCABULARY },
    model: { ...presets[preset], vocabulary: VOCABULARY, connection: defaultConnection(kind) },
    batch: BATCH,
    steps: 1_000_000,
    optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
    evaluateEvery: 1_000_000,
    checkpointEvery: 1_000_000,
  });
  const ids = Int32Array.from({ length: 1 << 16 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 22);
  const text = memoryTokens(ids, VOCABULARY, ids.length);
  const byteLengths = new Uint8Array(VOCABULARY).fill(1);
  const { context } = config.model;
  const options = { train: text, validation: text, byteLengths, batchSize: BATCH, contextLength: context, seed: 1 };
  return createTrainer(runtime, config, createBatches(options));
}

export const instruments: Group = {
  names: Object.keys(subjects),
  async *measure(names, options) {
    for (const name of names) {
      const subject = subjects[name]!;
      const runtime = await createWasmRuntime({ threads: THREADS });
      try {
        const trainer = trainerOf(runtime, subject);
        const label = `${subject.preset} ${subject.kind} step`;
        const observed = async (): Promise<void> => {
          const { step, instruments: seen } = await trainer.trainStep({ instruments: true });
          if (!JSON.stringify({ step, ...rounded(seen!) }).includes("activation"))
            throw new Error(`${label}: its instruments were not read.`);
        };
        // V8 optimises the code meanwhile.
        for (let k = 0; k < 3; k++) await observed();
        const racers = [
          { label: `${label} with a reading`, run: observed, count: 4 },
          { label, run: async () => void (await trainer.trainStep()), count: 4 },
        ];
        const { timings, background } = await race(racers, options);
        const [ours, theirs] = timings.map((timing) => milliseconds(timing, "median"));
        const value = (ours!.value / theirs!.value - 1) / trainer.config.gainsEvery;
        const figure: Measured = {
          name,
          value,
          unit: "of a step",
          higher_is_better: false,
          bar: BAR,
          ours: ours!,
          theirs: theirs!,
          background,
        };
        yield figure;
      } finally {
        runtime.close();
      }
    }
  },
};
