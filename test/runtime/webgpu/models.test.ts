// Whole small models on WebGPU: every gradient against the float64 reference, training against the processor's losses,
// the same bits twice, and in an arena of several buffers.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dispatchesOf } from "../../../src/runtime/gpu/fuse.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import type { WebgpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { createTrainer } from "../../../src/training/trainer.ts";
import { oneByOne } from "../../collect.ts";
import { tinyConfig } from "../../model/tiny.ts";
import { tinyBatches, tinyTraining } from "../../training/tiny.ts";
import { expectLosses, expectReference, expectText, losses, models } from "../gpu/models.ts";
import { hasWebgpu } from "./here.ts";

const all: typeof models = {
  ...models,
  "mhc with latent attention and experts": tinyConfig("mhc", {
    attention: { kind: "mla", rank: 6, queryRank: 5, rotarySize: 2, contentSize: 3, valueSize: 5 },
    feedForward: { kind: "moe", experts: 4, active: 2, shared: 1, hidden: 8, denseLayers: 1, balanceRate: 0.01 },
  }),
};

// SwiftShader takes a tenth of a second or more to compile a kernel.
describe.skipIf(!(await hasWebgpu()))("on WebGPU", { timeout: 300_000 }, () => {
  let runtime: WebgpuRuntime;
  beforeAll(async () => void (runtime = await createWebgpuRuntime()));
  afterAll(() => runtime.close());

  test.each(Object.entries(all))("%s: loss, logits and every gradient equal the reference", (name, config) =>
    expectReference(runtime, name, config),
  );

  test.each([
    [20, "mhc", {}],
    [4, "residual", {}],
    [4, "mhc", { accumulate: 2 }],
  ] as const)("%i steps of %s %o have the losses of the processor", (steps, kind, changes) =>
    expectLosses(runtime, tinyTraining(kind, changes), steps),
  );

  test("training gives the same bits twice, also in an arena of several buffers", async () => {
    const config = tinyTraining("residual");
    const small = await createWebgpuRuntime({ largestBuffer: 2 ** 15 });
    const pages = small.device.arenaPage!;
    const trainer = createTrainer(small, config, tinyBatches(config));
    expect(trainer.program.plan!.arena.bytes).toBeGreaterThan(2 * pages);
    const found = await oneByOne(Array(3).keys(), async () => (await trainer.trainStep()).loss);
    expect(found).toEqual(await losses(runtime, config, 3));
    expect(found).toEqual(await losses(runtime, config, 3));
    small.close();
  });

  test("a trained model writes what it writes on the processor", () => expectText(runtime));

  test("a step of a model is few kernels: chains of elementwise work are one", () => {
    const config = tinyTraining("mhc");
    const trainer = createTrainer(runtime, config, tinyBatches(config));
    const plan = trainer.program.plan!;
    const dispatches = dispatchesOf(plan, runtime.adapter.buffersOfKernel);
    expect(dispatches.length).toBeLessThan(plan.calls.length);
    expect(dispatches.flatMap(({ calls }) => calls)).toHaveLength(plan.calls.length);
    expect(dispatches.filter(({ kernel }) => kernel.groups < 1)).toEqual([]);
    trainer.release();
  });
});

test.each([0, 1.5, Number.NaN, -1])("a largest buffer of %d bytes is refused", async (largestBuffer) => {
  await expect(createWebgpuRuntime({ largestBuffer })).rejects.toThrow(
    "createWebgpuRuntime: largestBuffer is " + largestBuffer + "; it must be a whole number from 1024",
  );
});
