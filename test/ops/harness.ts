// Question: is an operation right, on every runtime?
//
// A case becomes one graph: its outputs, a scalar (the outputs against fixed random cotangents), and
// the gradients of that scalar. The float64 reference is held against finite differences; every
// runtime is held against the reference, outputs and gradients.

import { expect } from "vitest";
import { gradients } from "../../src/ops/gradients.ts";
import { input } from "../../src/graph/state.ts";
import { sizeOf, type Tensor } from "../../src/graph/tensor.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { add } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reductions.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import type { OperationCase } from "./case.ts";
import type { TensorValues } from "../../src/runtime/program.ts";

/** A small seeded generator (mulberry32): uniform in [0, 1). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export interface BuiltCase {
  readonly inputs: ReadonlyMap<Tensor, Float64Array>;
  readonly differentiable: readonly Tensor[];
  readonly outputs: Record<string, Tensor>;
  readonly loss: Tensor;
}

export function buildCase(operationCase: OperationCase): BuiltCase {
  const random = uniform(12345);
  const inputs = new Map<Tensor, Float64Array>();
  const named: Record<string, Tensor> = {};
  const differentiable: Tensor[] = [];
  for (const [name, { shape, dtype = "f32", values }] of Object.entries(operationCase.inputs)) {
    const tensor = input(name, shape, dtype);
    // Rounded to float32 so that every runtime sees the same numbers.
    inputs.set(
      tensor,
      Float64Array.from({ length: sizeOf(shape) }, (_, i) => Math.fround(values ? values(random, i) : normal(random))),
    );
    named[name] = tensor;
    if (dtype === "f32" && !operationCase.constant?.includes(name)) differentiable.push(tensor);
  }
  const built = operationCase.build(named);
  const results: readonly Tensor[] = "node" in built ? [built] : built;
  const outputs: Record<string, Tensor> = {};
  let loss: Tensor | undefined;
  for (const [index, result] of results.entries()) {
    outputs[`output ${index}`] = result;
    if (differentiable.length === 0) continue;
    const cotangent = input(`cotangent ${index}`, result.shape);
    inputs.set(
      cotangent,
      Float64Array.from({ length: sizeOf(result.shape) }, () => Math.fround(normal(random))),
    );
    const term = sum(multiply(result, cotangent));
    loss = loss ? add(loss, term) : term;
  }
  if (loss) {
    const found = gradients(loss, differentiable);
    differentiable.forEach(
      (tensor, index) =>
        (outputs[`gradient of ${Object.keys(named).find((n) => named[n] === tensor)}`] = found[index]!),
    );
  }
  return { inputs, differentiable, outputs, loss: loss ?? results[0]! };
}

export function runCase(runtime: SynchronousRuntime, built: BuiltCase): Record<string, TensorValues> {
  const program = runtime.compile({ outputs: built.outputs });
  for (const [tensor, values] of built.inputs) runtime.write(tensor, values);
  program.run();
  return Object.fromEntries(Object.keys(built.outputs).map((name) => [name, program.readNow(name)]));
}

/** Largest difference, relative to the largest magnitude of the expected values (at least 1e-3). */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let scale = 1e-3;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]!));
    const gap = Math.abs(actual[i]! - expected[i]!);
    if (!(gap <= difference)) difference = gap;
  }
  return difference / scale;
}

/** The reference's gradient against central differences of the reference, at up to 24 entries an input. */
export function checkFiniteDifferences(built: BuiltCase): void {
  if (built.differentiable.length === 0) return;
  const runtime = createReferenceRuntime();
  const loss = runtime.compile({ outputs: { loss: built.loss } });
  const analytic = runCase(runtime, built);
  const gradientNames = Object.keys(built.outputs).filter((name) => name.startsWith("gradient of"));
  const random = uniform(99);
  built.differentiable.forEach((tensor, index) => {
    const values = built.inputs.get(tensor)!;
    const gradient = analytic[gradientNames[index]!]!;
    const scale = Math.max(1e-3, ...Array.from(gradient, Math.abs));
    const checks = Math.min(values.length, 24);
    for (let k = 0; k < checks; k++) {
      const i = values.length <= 24 ? k : Math.floor(random() * values.length);
      const at = (step: number): number => {
        const moved = values.slice();
        moved[i]! += step;
        runtime.write(tensor, moved);
        loss.run();
        return loss.readNow("loss")[0]!;
      };
      // Richardson: two central differences remove the h² term, so 1e-6 holds with room.
      const h = 1e-4;
      const difference = (8 * (at(h / 2) - at(-h / 2)) - (at(h) - at(-h))) / (6 * h);
      runtime.write(tensor, values);
      expect(
        Math.abs(difference - gradient[i]!) / scale,
        `${gradientNames[index]} at ${i}: finite difference ${difference}, analytic ${gradient[i]}`,
      ).toBeLessThan(1e-6);
    }
  });
}
