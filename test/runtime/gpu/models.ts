// What the models of a GPU are held against: gradients of the float64 reference, losses and texts of the processor.

import { expect } from "vitest";
import type { Tensor } from "../../../src/graph/tensor.ts";
import type { ModelConfig } from "../../../src/model/config.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import type { TrainingConfig } from "../../../src/training/config.ts";
import { createTrainer } from "../../../src/training/trainer.ts";
import { collect, oneByOne } from "../../collect.ts";
import { runTiny, tinyConfig, tinyModel, tinyText, tinyValues } from "../../model/tiny.ts";
import { relativeError } from "../../ops/harness.ts";
import { tinyBatches, tinyTraining } from "../../training/tiny.ts";

/** By their names; where these say bfloat16, the streams are. */
export const models: Readonly<Record<string, ModelConfig>> = {
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

/** Loss, logits and every gradient equal those of the reference. */
export async function expectReference(runtime: Runtime, name: string, config: ModelConfig): Promise<void> {
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
}

export async function losses(machine: Runtime, config: TrainingConfig, steps: number): Promise<number[]> {
  const trainer = createTrainer(machine, config, tinyBatches(config));
  const found = await oneByOne(Array(steps).keys(), async () => (await trainer.trainStep()).loss);
  trainer.release();
  return found;
}

/** Training has the losses that it has on the processor. */
export async function expectLosses(runtime: Runtime, config: TrainingConfig, steps: number): Promise<void> {
  const wasm = await createWasmRuntime({ threads: 1 });
  const expected = await losses(wasm, config, steps);
  wasm.close();
  const found = await losses(runtime, config, steps);
  for (const [step, loss] of found.entries()) expect(Math.abs(loss - expected[step]!)).toBeLessThan(1e-4);
}

/** A trained model writes what it writes on the processor. */
export async function expectText(runtime: Runtime): Promise<void> {
  const config = tinyTraining("mhc", { steps: 4 });
  const wasm = await createWasmRuntime({ threads: 1 });
  const texts = await oneByOne([wasm, runtime] as Runtime[], async (machine) => {
    const trainer = createTrainer(machine, config, tinyBatches(config));
    await trainer.trainStep();
    return collect(trainer.generate([1, 2, 3], { maxTokens: 6, temperature: 0, random: () => 0.5 }));
  });
  wasm.close();
  expect(texts[1]).toEqual(texts[0]);
}
