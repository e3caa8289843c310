// Graphs: what an error about shapes tells, and in which order nodes stand.

import { describe, expect, test } from "vitest";
import { residual } from "../../src/connections/residual.ts";
import { mhc } from "../../src/connections/mhc.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { add } from "../../src/ops/elementwise.ts";
import { input, persistent, stateOf } from "../../src/graph/state.ts";
import { ancestors, scope, ShapeError, showShape, type Tensor } from "../../src/graph/tensor.ts";
import { attention } from "../../src/ops/attention.ts";
import { concat } from "../../src/ops/concat.ts";
import { crossEntropy } from "../../src/ops/cross-entropy.ts";
import { multiply, square } from "../../src/ops/elementwise.ts";
import { gather } from "../../src/ops/gather.ts";
import { hyperCoefficients } from "../../src/ops/hyper-coefficients.ts";
import { manifoldCoefficients } from "../../src/ops/manifold-coefficients.ts";
import { batchedMatmul } from "../../src/ops/batched-matmul.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { broadcast } from "../../src/ops/reductions.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { rmsNorm } from "../../src/ops/rms-norm.ts";
import { rotary } from "../../src/ops/rotary.ts";
import { streamRead } from "../../src/ops/stream-read.ts";
import { streamWrite } from "../../src/ops/stream-write.ts";
import { swiglu } from "../../src/ops/swiglu.ts";

const f32 = (...shape: number[]): Tensor => input("x", shape);
const i32 = (...shape: number[]): Tensor => input("ids", shape, "i32");

/** Operands that do not fit, and the operation. */
const mismatches: Readonly<
  Record<string, readonly [operands: readonly Tensor[], build: (...operands: Tensor[]) => unknown]>
> = {
  add: [[f32(2, 3), f32(3, 2)], add],
  multiply: [[f32(2, 3), f32(2)], multiply],
  matmul: [[f32(2, 3), f32(4, 5)], (a, b) => matmul(a, b)],
  batchedMatmul: [[f32(2, 3, 4), f32(3, 4, 5)], (a, b) => batchedMatmul(a, b)],
  rmsNorm: [[f32(5, 8), f32(7)], (x, w) => rmsNorm(x, w, 1e-6)],
  rotary: [[f32(2, 6, 12), f32(5, 4)], (x, table) => rotary(x, table, { heads: 3, headSize: 4 })],
  attention: [[f32(2, 6, 13)], (qkv) => attention(qkv, { heads: 2, kvHeads: 1, headSize: 4 })],
  swiglu: [[f32(2, 7)], swiglu],
  crossEntropy: [[f32(4, 17), i32(5)], crossEntropy],
  gather: [[f32(4, 5, 6), i32(3)], gather],
  concat: [[f32(2, 3), f32(3, 3)], (a, b) => concat([a, b], 1)],
  reshape: [[f32(2, 3)], (x) => reshape(x, [7])],
  broadcast: [[f32(3)], (x) => broadcast(x, [3, 2])],
  manifoldCoefficients: [[f32(5, 4, 8), f32(24, 31)], (x, phi) => manifoldCoefficients(x, phi, f32(3), f32(24))],
  hyperCoefficients: [[f32(5, 4, 8), f32(5, 8)], (x, theta) => hyperCoefficients(x, theta, f32(3), f32(24))],
  streamRead: [[f32(5, 4, 8), f32(5, 23)], streamRead],
  streamWrite: [[f32(5, 4, 8), f32(5, 24), f32(4, 8)], (x, h, y) => streamWrite(x, h, y)],
};

function errorOf(build: () => unknown): Error {
  try {
    build();
  } catch (error) {
    return error as Error;
  }
  throw new Error("There was no error.");
}

describe("a shape error names the operation, its operands' shapes and its place", () => {
  test.each(Object.entries(mismatches))("%s", (name, [operands, build]) => {
    const error = errorOf(() => scope("layers", () => scope("3", () => build(...operands))));
    expect(error).toBeInstanceOf(ShapeError);
    expect(error.message).toMatch(
      name === "manifoldCoefficients" || name === "hyperCoefficients"
        ? /^(\w+Coefficients|streamProjection): /
        : new RegExp(`^${name}: `),
    );
    // A stream write speaks of the operand that is wrong and of what it must fit.
    const named = name === "streamWrite" ? [operands[0]!, operands[2]!] : operands;
    for (const { shape } of named) expect(error.message).toContain(showShape(shape));
    expect(error.message).toMatch(/\(in layers\.3\)$/);
  });
});

test("a whole message", () => {
  expect(errorOf(() => add(f32(2, 3), f32(3, 2))).message).toBe(
    "add: operands differ in shape: a [2, 3], b [3, 2]. Use broadcast() to repeat the smaller one.",
  );
  expect(errorOf(() => input("empty", [0, 3])).message).toBe(
    'The input "empty": every axis must be a positive whole number, got [0, 3].',
  );
});

test("a block that changes the shape is told of by the connection that adds it", () => {
  const parameters = createParameters();
  const narrow = (x: Tensor): Tensor => matmul(x, f32(8, 4));
  const plain = residual();
  expect(() =>
    plain.sublayer(parameters.under("a"), { channels: 8, index: 0 }).apply(plain.expand(f32(5, 8)), narrow),
  ).toThrow("add: ");
  const streams = mhc();
  expect(() =>
    streams.sublayer(parameters.under("b"), { channels: 8, index: 0 }).apply(streams.expand(f32(5, 8)), narrow),
  ).toThrow("streamWrite: y must have the tokens and channels of x");
});

test("numbers of streams that the kernels do not support are refused", () => {
  for (const streams of [0, 33, 2.5])
    expect(() => mhc({ streams })).toThrow(
      `mhc: the number of streams must be a whole number from 1 to 32, got ${streams}.`,
    );
});

test("scopes nest, and end with an error", () => {
  const place = (): string => square(f32(1)).node.scope;
  expect(scope("a", () => [place(), scope("b", place), place()])).toEqual(["a", "a.b", "a"]);
  expect(() => scope("a", () => matmul(f32(1), f32(1)))).toThrow(ShapeError);
  expect(place()).toBe("");
});

test("ancestors stand in order of construction, each once", () => {
  const x = f32(2);
  const a = square(x);
  const b = multiply(a, x);
  const unused = square(b);
  const c = add(b, a);
  expect(ancestors([c, a])).toEqual([x.node, a.node, b.node, c.node]);
  expect(ancestors([c])).not.toContain(unused.node);
});

test("only state tensors have a state", () => {
  expect(stateOf(persistent("m", [2]))).toEqual({ kind: "state", name: "m", shape: [2], dtype: "f32" });
  expect(stateOf(square(f32(2)))).toBeUndefined();
});
