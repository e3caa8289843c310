// What src/connections/initialisation.ts says of the start of mHC.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Connection } from "../../src/connections/connection.ts";
import { mhcBias } from "../../src/connections/initialisation.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { createParameters, type ParameterSet } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { scale, square, subtract, tanh } from "../../src/ops/elementwise.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { mean } from "../../src/ops/reductions.ts";
import { rmsNorm } from "../../src/ops/rms-norm.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { runTiny, tinyConfig, tinyModel } from "../model/tiny.ts";
import { normal, relativeError, uniform } from "../ops/harness.ts";

let wasm: SynchronousRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

const [TOKENS, CHANNELS] = [7, 10];

interface Stack {
  readonly parameters: ParameterSet;
  readonly x_TC: Tensor;
  /** Streams after each sublayer, [T, n, C]. */
  readonly states: readonly Tensor[];
  readonly coefficients: readonly Tensor[];
  /** What each block read and returned, [T, C]. */
  readonly blocks: readonly { readonly from: Tensor; readonly to: Tensor }[];
}

function stack(connection: Connection<Tensor>, depth: number): Stack {
  const parameters = createParameters();
  const x_TC = input("x", [TOKENS, CHANNELS]);
  const weight_C = parameters.create("norm", [CHANNELS], { constant: 1 }, "norm");
  const coefficients: Tensor[] = [];
  const blocks: { from: Tensor; to: Tensor }[] = [];
  let state = connection.expand(x_TC);
  const states = [state];
  for (let index = 0; index < depth; index++) {
    const own = parameters.under(String(index));
    const weight_CC = own.create("weight", [CHANNELS, CHANNELS], { normal: 0.5 }, "weight");
    const result = connection.sublayer(own, { channels: CHANNELS, index }).apply(state, (from) => {
      const to = tanh(matmul(rmsNorm(from, weight_C), weight_CC));
      blocks.push({ from, to });
      return to;
    });
    state = result.state;
    states.push(state);
    coefficients.push(result.coefficients!);
  }
  return { parameters, x_TC, states, coefficients, blocks };
}

function write(
  runtime: SynchronousRuntime,
  { parameters, x_TC }: Stack,
  change: (name: string, values: Float32Array) => Float32Array = (_, values) => values,
): void {
  const random = uniform(5);
  runtime.write(
    x_TC,
    Float64Array.from({ length: TOKENS * CHANNELS }, () => normal(random)),
  );
  for (const parameter of parameters.all)
    runtime.write(parameter.tensor, change(parameter.name, initialValues(parameter, 1)));
}

function evaluate(
  stacked: Stack,
  outputs: Record<string, Tensor>,
  change?: Parameters<typeof write>[2],
): Record<string, ArrayLike<number>> {
  const runtime = createReferenceRuntime();
  const program = runtime.compile({ outputs });
  write(runtime, stacked, change);
  program.run();
  return Object.fromEntries(Object.keys(outputs).map((name) => [name, program.readNow(name)]));
}

const withoutDynamicPart = (name: string, values: Float32Array): Float32Array =>
  name.endsWith("alpha") ? values.fill(0) : values;
const total = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, value) => sum + value, 0);

/** Coefficients of the first token. */
function maps(h: ArrayLike<number>, n: number): { pre: number[]; post: number[]; res: number[][] } {
  const values = Array.from(h);
  return {
    pre: values.slice(0, n),
    post: values.slice(n, 2 * n),
    res: Array.from({ length: n }, (_, i) => values.slice(2 * n + i * n, 3 * n + i * n)),
  };
}

describe.each([1, 2, 3, 4, 8])("%i streams", (n) => {
  const connection = mhc({ streams: n });
  const stacked = stack(connection, n + 1);
  const outputs = Object.fromEntries(stacked.coefficients.map((tensor, index) => [index, tensor]));

  test("the static maps are those of the documentation", () => {
    for (const [index, h] of Object.values(evaluate(stacked, outputs, withoutDynamicPart)).entries()) {
      const { pre, post, res } = maps(h, n);
      const own = index % n;
      expect(total(pre)).toBeCloseTo(n === 1 ? 0.999 : 1, 6);
      expect(total(post) / n).toBeCloseTo(1, 6);
      for (let i = 0; i < n; i++) {
        expect(total(res[i]!)).toBeCloseTo(1, 12);
        expect(total(res.map((row) => row[i]!))).toBeCloseTo(1, 12);
      }
      if (n === 1) continue;
      expect(pre[own]).toBeCloseTo(0.7, 6);
      expect(post[own]).toBeCloseTo(1.6, 6);
      expect(pre.filter((_, j) => j !== own)).toEqual(Array(n - 1).fill(expect.closeTo(0.3 / (n - 1), 6)));
    }
  });
  test("the dynamic part moves them by little", () => {
    const moved = evaluate(stacked, outputs);
    for (const [index, fixed] of Object.values(evaluate(stacked, outputs, withoutDynamicPart)).entries()) {
      const difference = Math.max(...Array.from(fixed, (value, i) => Math.abs(value - moved[index]![i]!)));
      expect(difference).toBeLessThan(0.01);
      expect(difference).toBeGreaterThan(n === 1 ? 0 : 1e-5);
    }
  });
  test("every sublayer adds its block to the mean of the streams with weight one", () => {
    const named: Record<string, Tensor> = {};
    stacked.states.forEach((state, index) => (named[`mean ${index}`] = connection.collapse(state)));
    stacked.blocks.forEach(({ to }, index) => (named[`block ${index}`] = to));
    const values = evaluate(stacked, named, withoutDynamicPart);
    stacked.blocks.forEach((_, index) => {
      const expected = Array.from(values[`mean ${index}`]!, (value, i) => value + values[`block ${index}`]![i]!);
      // The bias is rounded to float32.
      expect(relativeError(values[`mean ${index + 1}`]!, expected)).toBeLessThan(1e-6);
    });
  });
});

test("at n = 4 the diagonal of H_res starts at 0.948", () => {
  const stacked = stack(mhc(), 1);
  const [h] = Object.values(evaluate(stacked, { h: stacked.coefficients[0]! }, withoutDynamicPart));
  const { res } = maps(h!, 4);
  for (let i = 0; i < 4; i++) expect(res[i]![i]).toBeCloseTo(Math.exp(4) / (Math.exp(4) + 3), 12);
  expect(res[0]![0]).toBeCloseTo(0.948, 3);
});

test("the bias is the logits of the documented weights", () => {
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  expect(mhcBias(2, 1).map((value, i) => (i < 2 ? sigmoid(value) : i < 4 ? 2 * sigmoid(value) : value))).toEqual(
    [0.3, 0.7, 0.4, 1.6, 4, 0, 0, 4].map((value) => expect.closeTo(value, 12)),
  );
});

test("a model with mHC starts close to the residual model of the same seed", () => {
  const run = (kind: "residual" | "mhc"): Record<string, ArrayLike<number>> => {
    const tiny = tinyModel(tinyConfig(kind, { layers: 4 }));
    return runTiny(wasm, tiny, { logits: tiny.logits, loss: tiny.loss });
  };
  const [plain, manifolds] = [run("residual"), run("mhc")];
  expect(relativeError(manifolds.logits!, plain.logits!)).toBeLessThan(0.01);
  expect(relativeError(manifolds.loss!, plain.loss!)).toBeLessThan(1e-4);
});

describe("symmetry of the streams", () => {
  /** Train a stack by plain gradient descent and return the largest difference between two streams, and the largest entry. */
  function train(change?: Parameters<typeof write>[2]): { difference: number; largest: number } {
    const [n, rate] = [4, 0.3];
    const connection = mhc({ streams: n });
    const stacked = stack(connection, 4);
    const { parameters, states } = stacked;
    const target = input("target", [TOKENS, CHANNELS]);
    const loss = mean(square(subtract(connection.collapse(states.at(-1)!), target)));
    const found = gradients(
      loss,
      parameters.all.map(({ tensor }) => tensor),
    );
    const step = wasm.compile({
      outputs: { loss, streams: states.at(-1)! },
      updates: parameters.all.map(
        ({ tensor }, index) => [tensor, subtract(tensor, scale(found[index]!, rate))] as const,
      ),
    });
    write(wasm, stacked, change);
    const random = uniform(8);
    wasm.write(
      target,
      Float64Array.from({ length: TOKENS * CHANNELS }, () => normal(random)),
    );
    const losses = Array.from({ length: 10 }, () => {
      step.run();
      return step.readNow("loss")[0]!;
    });
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    const streams = Array.from(step.readNow("streams"));
    const entry = (t: number, j: number, c: number): number => streams[(t * n + j) * CHANNELS + c]!;
    const differences = streams.map((_, i) => {
      const [c, j, t] = [i % CHANNELS, Math.floor(i / CHANNELS) % n, Math.floor(i / (n * CHANNELS))];
      return Math.max(
        ...[0, 1, 2, 3].filter((other) => other !== j).map((other) => Math.abs(entry(t, j, c) - entry(t, other, c))),
      );
    });
    return { difference: Math.max(...differences), largest: Math.max(...streams.map(Math.abs)) };
  }

  test("equal streams with equal maps stay copies of each other", () => {
    const symmetric = (name: string, values: Float32Array): Float32Array =>
      name.endsWith("phi")
        ? values.fill(0)
        : name.endsWith("bias")
          ? values.map((_, i) => (i < 8 ? 0 : i % 5 === 3 ? 4 : 0))
          : values;
    const { difference, largest } = train(symmetric);
    expect(difference).toBeLessThan(1e-5 * largest);
  });
  test("from the default start they differ", () => {
    const { difference, largest } = train();
    expect(difference).toBeGreaterThan(0.1 * largest);
  });
});
