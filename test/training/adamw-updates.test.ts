// A loss and its AdamW updates against the formulas in plain numbers: two parameters, one of which decays.

import { expect, test } from "vitest";
import { createParameters, type ParameterSet } from "../../src/graph/parameters.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { add, square } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reductions.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { adamwUpdates } from "../../src/training/adamw-updates.ts";
import { initialise } from "../../src/training/initialise.ts";

const START = { weight: [3, -1], norm: [0.5] };

/** Σ weight² + Σ norm², so that each gradient is twice its parameter. */
function squares(): { parameters: ParameterSet; loss: Tensor } {
  const parameters = createParameters();
  const weight = parameters.create("weight", [2], { values: START.weight }, "weight");
  const norm = parameters.create("norm", [1], { values: START.norm }, "norm");
  return { parameters, loss: add(sum(square(weight)), sum(square(norm))) };
}

test("three steps are AdamW with clipping, and only the weight decays", () => {
  const { parameters, loss } = squares();
  const [beta1, beta2, epsilon, decay, clip] = [0.8, 0.9, 1e-3, 0.5, 1];
  const rate = (step: number): number => 0.1 / step;
  const adamw = adamwUpdates(parameters, loss, { learningRate: rate, beta1, beta2, epsilon, weightDecay: decay, clip });
  const runtime = createReferenceRuntime();
  const program = runtime.compile({ outputs: { clip: adamw.clip }, updates: adamw.updates });
  initialise(runtime, parameters, 1);

  const p = [...START.weight, ...START.norm];
  const [m, v] = [p.map(() => 0), p.map(() => 0)];
  for (let step = 1; step <= 3; step++) {
    adamw.write(runtime, step);
    program.run();
    const norm = Math.hypot(...p.map((x) => 2 * x));
    expect(runtime.readNow(adamw.schedule)[0]).toBeCloseTo(rate(step), 6);
    for (let i = 0; i < p.length; i++) {
      const g = 2 * p[i]! * Math.min(1, clip / norm);
      m[i] = beta1 * m[i]! + (1 - beta1) * g;
      v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
      const direction = m[i]! / (1 - beta1 ** step) / (Math.sqrt(v[i]! / (1 - beta2 ** step)) + epsilon);
      p[i]! -= rate(step) * (direction + (i < 2 ? decay : 0) * p[i]!);
    }
    const actual = parameters.all.flatMap(({ tensor }) => Array.from(runtime.readNow(tensor)));
    for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(p[i]!, 5);
  }
  expect(adamw.moments.map(({ name }) => name)).toEqual(["weight.m", "weight.v", "norm.m", "norm.v"]);
});

test("a step whose gradients are not finite changes nothing", () => {
  const { parameters, loss } = squares();
  const adamw = adamwUpdates(parameters, loss);
  const runtime = createReferenceRuntime();
  const program = runtime.compile({ outputs: { loss }, updates: adamw.updates });
  const [weight] = parameters.all;
  runtime.write(weight!.tensor, [Number.POSITIVE_INFINITY, 1]);
  adamw.write(runtime, 1);
  program.run();
  expect(Array.from(runtime.readNow(weight!.tensor))).toEqual([Number.POSITIVE_INFINITY, 1]);
});

test("the defaults: a constant rate, and corrections that grow to one", () => {
  const { parameters, loss } = squares();
  const adamw = adamwUpdates(parameters, loss);
  expect(adamw.at(1)).toEqual([3e-3, 1 - 0.9, 1 - 0.95]);
  expect(adamw.at(1000)[1]).toBeCloseTo(1, 6);
});

test("a setting that is given as undefined has its default", () => {
  const after = [{}, { beta1: undefined, epsilon: undefined, decayed: undefined, clip: undefined }].map((options) => {
    const { parameters, loss } = squares();
    const adamw = adamwUpdates(parameters, loss, options as object);
    const runtime = createReferenceRuntime();
    const program = runtime.compile({ outputs: {}, updates: adamw.updates });
    initialise(runtime, parameters, 1);
    adamw.write(runtime, 1);
    program.run();
    return parameters.all.map(({ tensor }) => [...runtime.readNow(tensor)]);
  });
  expect(after[0]!.flat().every(Number.isFinite)).toBe(true);
  expect(after[1]).toEqual(after[0]);
});
