// Whole small models by CUDA, on the machine that plays a GPU: every gradient against the float64 reference, training against the processor's losses,
// and the same bits twice.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Tensor } from "../../../src/graph/tensor.ts";
import type { ModelConfig } from "../../../src/model/config.ts";
import { type CudaRuntime, createCudaRuntime } from "../../../src/runtime/cuda/runtime.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import type { TrainingConfig } from "../../../src/training/config.ts";
import { createTrainer } from "../../../src/training/trainer.ts";
import { collect, oneByOne } from "../../collect.ts";
import { runTiny, tinyConfig, tinyModel, tinyText, tinyValues } from "../../model/tiny.ts";
import { relativeError } from "../../ops/harness.ts";
import { tinyBatches, tinyTraining } from "../../training/tiny.ts";
import { fakeMachine } from "./machine/build.ts";

const machine = await fakeMachine();

const models: Readonly<Record<string, ModelConfig>> = {
  residual: tinyConfig("residual"),
  hc: tinyConfig("hc"),
  mhc: tinyConfig("mhc"),
  "mhc with the exact projection": tinyConfig({
    kind: "mhc",
    streams: 3,
    iterations: 20,
    residualMap: "birkhoff-newton",
  }),
  "heads that mix, keys and values that pass on": tinyConfig("residual", {
    heads: 4,
    kvHeads: 2,
    headMixing: { of: "both", dynamic: true },
    keyValues: { of: "both", connection: { kind: "mhc", streams: 2, iterations: 20 } },
  }),
  "mhc in bfloat16": tinyConfig({ kind: "mhc", streams: 3, iterations: 20, streamPrecision: "bfloat16" }),
};

describe.skipIf(!machine)("by CUDA", { timeout: 300_000 }, () => {
  let runtime: CudaRuntime;
  beforeAll(async () => void (runtime = await createCudaRuntime()));
  afterAll(() => runtime.close());

  test.each(Object.entries(models))("%s: loss, logits and every gradient equal the reference", async (name, config) => {
    const tiny = tinyModel(config);
    const values = tinyValues(tiny, 0.1);
    const outputs: Record<string, Tensor> = { loss: tiny.loss, logits: tiny.logits, ...tiny.gradients };
    const expected = runTiny(createReferenceRuntime(), tiny, outputs, values);
    const program = runtime.compile({ outputs });
    const text = tinyText(config);
    for (const parameter of tiny.parameters.all) runtime.write(parameter.tensor, values.get(parameter.name)!);
    runtime.write(tiny.tokens, text.tokens);
    runtime.write(tiny.targets, text.targets);
    program.run();
    // A bfloat16 that falls on the other side of a step moves by 2^-8 of itself.
    const tolerance = name.includes("bfloat16") ? 2e-2 : 1e-4;
    await oneByOne(Object.entries(expected), async ([output, correct]) => {
      expect(relativeError(await program.read(output), correct), output).toBeLessThan(tolerance);
    });
    program.release();
  });

  const losses = async (machine: Runtime, config: TrainingConfig, steps: number): Promise<number[]> => {
    const trainer = createTrainer(machine, config, tinyBatches(config));
    const found = await oneByOne(Array(steps).keys(), async () => (await trainer.trainStep()).loss);
    trainer.release();
    return found;
  };

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
  ] as const)("%i steps of %s %o have the losses of the processor", async (steps, kind, changes) => {
    const config = tinyTraining(kind, changes);
    const wasm = await createWasmRuntime({ threads: 1 });
    const expected = await losses(wasm, config, steps);
    wasm.close();
    const found = await losses(runtime, config, steps);
    for (const [step, loss] of found.entries()) expect(Math.abs(loss - expected[step]!)).toBeLessThan(1e-4);
  });

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

  test("a trained model writes what it writes on the processor", async () => {
    const config = tinyTraining("mhc", { steps: 4 });
    const wasm = await createWasmRuntime({ threads: 1 });
    const texts = await oneByOne([wasm, runtime] as Runtime[], async (machine) => {
      const trainer = createTrainer(machine, config, tinyBatches(config));
      await trainer.trainStep();
      return collect(trainer.generate([1, 2, 3], { maxTokens: 6, temperature: 0, random: () => 0.5 }));
    });
    wasm.close();
    expect(texts[1]).toEqual(texts[0]);
  });
});
