// 50 steps of every optimizer against PyTorch's own, Lion's algorithm and ZClip (test/fixtures/optimizers/make.py).

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createParameters, type ParameterSet } from "../../../src/graph/parameters.ts";
import { input, persistent } from "../../../src/graph/state.ts";
import { sizeOf, type Tensor } from "../../../src/graph/tensor.ts";
import { add, multiply } from "../../../src/ops/elementwise.ts";
import { sum } from "../../../src/ops/reductions.ts";
import { createCudaRuntime } from "../../../src/runtime/cuda/runtime.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import { clippingOf } from "../../../src/training/optimizers/clipping.ts";
import { type OptimizerOptions, optimizerUpdates } from "../../../src/training/optimizers/updates.ts";
import { fakeMachine } from "../../runtime/cuda/machine/build.ts";
import { hasWebgpu } from "../../runtime/webgpu/here.ts";

interface Golden {
  readonly optimizers: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, number[]>>>>>>;
  readonly zclip: { readonly factors: number[]; readonly mean: number; readonly variance: number };
}
const golden: Golden = JSON.parse(readFileSync("test/fixtures/optimizers/golden.json", "utf8"));

const STEPS = 50;
const shapes = { wide: [4, 6], tall: [6, 4], vector: [5] } as const;

/** The settings of the golden file; what is not said is the same by default. */
const settings: Readonly<Record<string, OptimizerOptions>> = {
  adamw: { kind: "adamw", learningRate: 0.01, decayed: ["weight", "norm"] },
  muon: { kind: "muon", learningRate: 0.02 },
  lion: { kind: "lion", learningRate: 0.003, weightDecay: 0.7, decayed: ["weight", "norm"] },
  sgd: { kind: "sgd", learningRate: 0.05, weightDecay: 0.01, decayed: ["weight", "norm"] },
  "sgd nesterov": { kind: "sgd", learningRate: 0.05, weightDecay: 0, nesterov: true },
  adafactor: { kind: "adafactor", learningRate: 0.02, weightDecay: 0.1, decayed: ["weight", "norm"] },
};

const numbers = (size: number, seed: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.sin(1.7 * i + 0.9 * i * i + 2.3 * seed + 0.5));
const gradient = (size: number, parameter: number, step: number): number[] =>
  numbers(size, step + 10 * parameter).map((x) => (0.3 * x) / (1 + 0.1 * step));

/** Σ parameter · input, so that the gradient of each parameter is an input. */
function linear(): { parameters: ParameterSet; loss: Tensor; inputs: Tensor[] } {
  const parameters = createParameters();
  const inputs = Object.entries(shapes).map(([name, shape]) => input(name, shape));
  const terms = Object.entries(shapes).map(([name, shape], index) => {
    const values = numbers(sizeOf(shape), 100 + index);
    return sum(multiply(parameters.create(name, shape, { values }, index < 2 ? "weight" : "norm"), inputs[index]!));
  });
  return { parameters, loss: terms.reduce(add), inputs };
}

const runtimes: readonly (readonly [name: string, open: () => Promise<Runtime>, tolerance: number])[] = [
  ["reference", () => Promise.resolve(createReferenceRuntime()), 1e-9],
  ["wasm", () => createWasmRuntime({ threads: 2 }), 1e-6],
  ...((await fakeMachine()) ? [["cuda", () => createCudaRuntime({ largestMemory: 2 ** 28 }), 1e-6] as const] : []),
  ...((await hasWebgpu()) ? [["webgpu", () => createWebgpuRuntime(), 1e-6] as const] : []),
];

describe.each(runtimes)("%s", (_name, open, tolerance) => {
  let runtime: Runtime;
  beforeAll(async () => void (runtime = await open()));
  afterAll(() => runtime.close());

  test.each(Object.keys(settings))("%s", async (name) => {
    const { parameters, loss, inputs } = linear();
    const updates = optimizerUpdates(parameters, loss, { ...settings[name]!, clip: "none" });
    const program = runtime.compile({ outputs: {}, updates: updates.updates });
    for (const [index, { tensor }] of parameters.all.entries())
      runtime.write(tensor, numbers(sizeOf(tensor.shape), 100 + index));
    for (let step = 1; step <= STEPS; step++) {
      for (const [index, tensor] of inputs.entries())
        runtime.write(tensor, gradient(sizeOf(tensor.shape), index, step));
      updates.write(runtime, step);
      program.run();
      const expected = golden.optimizers[name]![step];
      if (!expected) continue;
      for (const { name: which, tensor } of parameters.all) {
        const values = [...(await runtime.read(tensor))];
        const furthest = Math.max(...values.map((value, i) => Math.abs(value - expected[which]![i]!)));
        expect(furthest, `${which} after step ${step}`).toBeLessThan(tolerance);
      }
    }
    program.release();
  });

  test("adaptive clipping is ZClip", async () => {
    const norm = (step: number): number =>
      2 + Math.sin(step) * 0.3 + (step % 13 === 0 ? 20 : 0) + (step % 17 === 0 ? 5 : 0);
    const squared = persistent("squared", []);
    const { clip, states, updates } = clippingOf([squared], {
      kind: "adaptive",
      threshold: 2.5,
      smoothing: 0.97,
      warmup: 10,
    });
    const program = runtime.compile({ outputs: { clip }, updates });
    for (let step = 1; step <= STEPS; step++) {
      runtime.write(squared, [norm(step) ** 2]);
      program.run();
      expect((await program.read("clip"))[1], `step ${step}`).toBeCloseTo(golden.zclip.factors[step - 1]!, 4);
    }
    const [, mean, variance] = [...(await runtime.read(states[0]!.tensor))];
    expect(mean).toBeCloseTo(golden.zclip.mean, 4);
    expect(variance).toBeCloseTo(golden.zclip.variance, 4);
    // A norm that is not finite is forgotten.
    runtime.write(squared, [Number.POSITIVE_INFINITY]);
    program.run();
    expect([...(await runtime.read(states[0]!.tensor))].slice(1)).toEqual([mean, variance]);
    program.release();
  });
});
