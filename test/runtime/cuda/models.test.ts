// Whole small models by CUDA, on the machine that plays a GPU: every gradient against the float64 reference, training against the processor's losses,
// and the same bits twice.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CudaRuntime, createCudaRuntime } from "../../../src/runtime/cuda/runtime.ts";
import { oneByOne } from "../../collect.ts";
import { tinyTraining } from "../../training/tiny.ts";
import { expectLosses, expectReference, expectText, losses, models } from "../gpu/models.ts";
import { fakeMachine } from "./machine/build.ts";

const machine = await fakeMachine();

describe.skipIf(!machine)("by CUDA", { timeout: 300_000 }, () => {
  let runtime: CudaRuntime;
  beforeAll(async () => void (runtime = await createCudaRuntime()));
  afterAll(() => runtime.close());

  test.each(Object.entries(models))("%s: loss, logits and every gradient equal the reference", (name, config) =>
    expectReference(runtime, name, config),
  );

  const feedForward = {
    kind: "moe",
    experts: 4,
    active: 2,
    shared: 1,
    hidden: 16,
    denseLayers: 1,
    balanceRate: 1e-3,
  } as const;
  test.each([
    [20, "mhc", {}],
    [4, "residual", {}],
    [4, "mhc", { accumulate: 2 }],
    [4, "mhc", { precision: "bfloat16" }],
    [4, "mhc", { precision: "fp8" }],
    [3, "residual", { precision: "fp8", model: { feedForward } }],
  ] as const)("%i steps of %s %o have the losses of the processor", (steps, kind, changes) =>
    expectLosses(runtime, tinyTraining(kind, changes), steps),
  );

  test("training gives the same bits twice", async () => {
    const config = tinyTraining("mhc");
    expect(await losses(runtime, config, 3)).toEqual(await losses(runtime, config, 3));
  });

  test("computing states again changes no bit", async () => {
    // Coefficients that are made again are made without the read that they were made with at first.
    const changes = { precision: "bfloat16", batch: 2, model: { width: 32, hidden: 32 } } as const;
    const [stored, again] = await oneByOne(["none", 2] as const, (recompute) =>
      losses(runtime, tinyTraining("mhc", { ...changes, recompute }), 2),
    );
    expect(again).toEqual(stored);
  });

  test("a trained model writes what it writes on the processor", () => expectText(runtime));
});
