// Training in bfloat16: all machines round at the same points, near to float32, in half the memory, and a step can be
// repeated bit by bit.

import { describe, expect, test } from "vitest";
import { connectionKinds, defaultConnection } from "../../src/connections/table.ts";
import { modelSchema, presets } from "../../src/model/config.ts";
import { planStepMemory } from "../../src/planning/step-memory.ts";
import { plannedMachine } from "../../src/runtime/machines.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { chooseRecompute, predictStepMemory } from "../../src/training/recomputation.ts";
import { createTrainer, type Trainer } from "../../src/training/trainer.ts";
import { oneByOne } from "../collect.ts";
import { type Changes, tinyBatches, tinyTraining } from "./tiny.ts";

const narrow = (kind: Parameters<typeof tinyTraining>[0], changes: Changes = {}): TrainingConfig =>
  tinyTraining(kind, { precision: "bfloat16", ...changes });

async function train(
  runtime: Runtime,
  config: TrainingConfig,
  steps: number,
): Promise<{ losses: number[]; norms: number[]; trainer: Trainer }> {
  const trainer = createTrainer(runtime, config, tinyBatches(config));
  const results = await oneByOne(Array.from({ length: steps }), () => trainer.trainStep());
  return {
    losses: results.map(({ loss }) => loss),
    norms: results.map(({ gradientNorm }) => gradientNorm),
    trainer,
  };
}

async function onWasm<R>(act: (runtime: Runtime) => Promise<R>, threads = 1): Promise<R> {
  const runtime = await createWasmRuntime({ threads });
  try {
    return await act(runtime);
  } finally {
    runtime.close();
  }
}

const mixture = {
  kvHeads: 2,
  attention: { kind: "mla", rank: 8, rotarySize: 4, contentSize: 8, valueSize: 8 },
  feedForward: { kind: "moe", experts: 4, active: 2, shared: 1, hidden: 12, denseLayers: 1, balanceRate: 1e-3 },
} as const;

describe.each([
  ...connectionKinds.map((kind) => [kind, narrow(kind)] as const),
  ["latent attention and experts", narrow("mhc", { model: mixture })] as const,
  ["two microbatches", narrow("mhc", { accumulate: 2 })] as const,
  ["8 bits", narrow("mhc", { precision: "fp8" })] as const,
  ["latent attention and experts in 8 bits", narrow("residual", { precision: "fp8", model: mixture })] as const,
])("%s", (_name, config) => {
  test("three steps are those of the reference, but for sums that round the other way", async () => {
    const [kernels, reference] = [
      await onWasm((runtime) => train(runtime, config, 3)),
      await train(createReferenceRuntime(), config, 3),
    ];
    expect(Math.abs(kernels.losses[0]! - reference.losses[0]!)).toBeLessThan(2e-5);
    for (const [step, loss] of reference.losses.entries()) {
      expect(Math.abs(kernels.losses[step]! - loss), `loss of step ${step}`).toBeLessThan(5e-4);
      expect(Math.abs(kernels.norms[step]! / reference.norms[step]! - 1), `norm of step ${step}`).toBeLessThan(5e-3);
    }
  });
  test("the same bits on one thread and three, and however much is computed again", async () => {
    const variants = [
      [config, 1],
      [{ ...config, recompute: 1 }, 1],
      [{ ...config, recompute: 3 }, 3],
    ] as const;
    const [first, ...others] = await oneByOne(variants, ([each, threads]) =>
      onWasm(async (runtime) => (await train(runtime, each, 3)).losses, threads),
    );
    for (const losses of others) expect(losses).toEqual(first);
  });
});

describe("twenty steps", () => {
  test("follow the reference, and float32", async () => {
    const config = narrow("mhc", { steps: 20 });
    const wide = tinyTraining("mhc", { steps: 20 });
    const kernels = await onWasm((runtime) => train(runtime, config, 20));
    const reference = await train(createReferenceRuntime(), config, 20);
    const float32 = await onWasm((runtime) => train(runtime, wide, 20));
    const farthest = (a: readonly number[], b: readonly number[]): number =>
      Math.max(...a.map((loss, step) => Math.abs(loss - b[step]!)));
    expect(kernels.losses.at(-1)).toBeLessThan(kernels.losses[0]! - 0.3);
    expect(farthest(kernels.losses, reference.losses)).toBeLessThan(2e-3);
    expect(farthest(kernels.losses, float32.losses)).toBeGreaterThan(1e-5);
    expect(farthest(kernels.losses, float32.losses)).toBeLessThan(1e-2);
  });

  test("go on from a saved state with the same bits, and the state is float32", async () => {
    const config = narrow("mhc");
    await onWasm(async (runtime) => {
      const { trainer } = await train(runtime, config, 2);
      const saved = await trainer.save();
      const expected = await oneByOne([1, 2, 3], () => trainer.trainStep());
      const { loss } = await trainer.evaluate();
      const other = createTrainer(runtime, config, tinyBatches(config));
      other.restore(saved);
      const resumed = await oneByOne([1, 2, 3], () => other.trainStep());
      expect(resumed.map((step) => step.loss)).toEqual(expected.map((step) => step.loss));
      expect((await other.evaluate()).loss).toBe(loss);
      // Weights that had been rounded would have no bits in their lower halves.
      const { data } = saved.model.find(({ name }) => name === "layers.0.attention.qkv")!;
      const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
      expect(bits.some((whole) => (whole & 0xffff) !== 0)).toBe(true);
    });
  });
});

describe("memory", () => {
  const machine = plannedMachine({ threads: 2 });
  const deep = (kind: "mhc" | "hc" | "residual", precision: "float32" | "bfloat16") => ({
    model: modelSchema.parse({ ...presets.nano, layers: 12, vocabulary: 1024, connection: defaultConnection(kind) }),
    batch: 2,
    accumulate: 1,
    precision,
    optimizer: tinyTraining(kind).optimizer,
  });
  test.each([
    ["mhc", 0.65],
    ["hc", 0.65],
    ["residual", 0.7],
  ] as const)("%s takes at most %f of float32's arena, and no other state", (kind, share) => {
    const [wide, half] = (["float32", "bfloat16"] as const).map((precision) =>
      planStepMemory(deep(kind, precision), machine),
    );
    expect(half!.arenaBytes / wide!.arenaBytes).toBeLessThan(share);
    expect(half!.stateBytes).toBe(wide!.stateBytes);
  });
  test("recomputation is predicted within 8 %, and its choice is the best there is but for 2 %", () => {
    const config = deep("mhc", "bfloat16");
    const prediction = predictStepMemory(config, machine);
    const everies = [1, 2, 3, 5, 7, 12, 24];
    const planned = everies.map((every) => planStepMemory(config, machine, every).arenaBytes);
    for (const [at, every] of everies.entries())
      expect(Math.abs(prediction.of(every).arenaBytes / planned[at]! - 1), `every ${every}`).toBeLessThan(0.08);
    const chosen = planStepMemory(config, machine, chooseRecompute(config, machine)).arenaBytes;
    expect(chosen).toBeLessThan(1.02 * Math.min(...planned));
  });
});
