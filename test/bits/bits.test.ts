// The bits of a training step: losses and gradient norms of three presets with three connections, held
// against the values that were stored before the house was rebuilt (stored.json). The plain SIMD kernels
// give the same bits on every machine. The relaxed ones do wherever a relaxed multiply-add is fused, as it
// is on every processor with FMA; where it is not, those tests are skipped.
//
// Store them anew, only when the numbers are meant to change: BITS=store npx vitest run test/bits

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createBatches } from "../../src/data/batches.ts";
import { random } from "../../src/data/random.ts";
import { memoryTokens } from "../../src/data/tokens.ts";
import { presets, type Preset } from "../../src/model/config.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { parseTrainingConfig } from "../../src/training/config.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { fusesMultiplyAdd } from "./fused.ts";

const STEPS = 3;
const file = fileURLToPath(new URL("stored.json", import.meta.url));
const storing = process.env.BITS === "store";
const stored = JSON.parse(storing ? "{}" : readFileSync(file, "utf8")) as Record<string, string[]>;

const sizes: readonly Preset[] = ["nano", "micro", "moe-nano"];
const connections = { residual: { kind: "residual" }, HC: { kind: "hc" }, mHC: { kind: "mhc" } };
const builds = ["simd", "relaxed"] as const;

const runtimes = new Map<string, WasmRuntime>();
beforeAll(async () => {
  for (const build of builds)
    for (const threads of [1, 2, 3]) runtimes.set(`${build} ${threads}`, await createWasmRuntime({ build, threads }));
});
afterAll(() => {
  for (const runtime of runtimes.values()) runtime.close();
  if (storing) writeFileSync(file, `${JSON.stringify(stored, null, 2)}\n`);
});

/** "loss gradientNorm" of each step, as the hexadecimal bits of float32. */
async function train(runtime: WasmRuntime, size: Preset, connection: object): Promise<string[]> {
  const context = 32;
  const config = parseTrainingConfig({
    name: "bits",
    seed: 3,
    data: { source: "made up", vocabulary: 97 },
    model: { ...presets[size], vocabulary: 97, context, connection },
    batch: 2,
    steps: STEPS,
    optimizer: { learningRate: 1e-2, warmup: 1, schedule: { kind: "constant" } },
    evaluateEvery: STEPS,
    checkpointEvery: STEPS,
  });
  const ids = (length: number, seed: number): number[] => Array.from({ length }, (_, i) => random(seed, 9, i) % 97);
  const batches = createBatches({
    train: memoryTokens(ids(2000, 1), 97, 4000),
    validation: memoryTokens(ids(500, 2), 97, 1000),
    byteLengths: Array<number>(97).fill(2),
    batchSize: config.batch,
    contextLength: context,
    seed: config.seed,
    validationLimit: 1,
  });
  const trainer = createTrainer(runtime, config, batches);
  const bits: string[] = [];
  for (let step = 0; step < STEPS; step++) {
    const { loss, gradientNorm } = await trainer.trainStep();
    const [a, b] = new Uint32Array(Float32Array.of(loss, gradientNorm).buffer);
    bits.push(`${a!.toString(16)} ${b!.toString(16)}`);
  }
  trainer.release();
  return bits;
}

describe.each(sizes)("%s", (size) => {
  describe.each(Object.entries(connections))("%s", (name, connection) => {
    for (const build of builds) {
      const unknown = build === "relaxed" && !fusesMultiplyAdd();
      test.skipIf(unknown)(`the stored bits on 1, 2 and 3 threads, ${build} kernels`, async () => {
        const key = `${size} ${name} ${build}`;
        for (const threads of [1, 2, 3]) {
          const bits = await train(runtimes.get(`${build} ${threads}`)!, size, connection);
          if (storing) stored[key] ??= bits;
          expect(new Set(bits).size).toBe(STEPS);
          expect(bits, `${threads} threads`).toEqual(stored[key]);
        }
      });
    }
  });
});
