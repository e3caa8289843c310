// Laws of the transformer's and the optimiser's operations that a comparison with their own formula
// would not notice, and the messages of operands that do not fit.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/state.ts";
import { ShapeError, type Tensor } from "../../src/graph/tensor.ts";
import { adamw } from "../../src/ops/adamw.ts";
import { attention } from "../../src/ops/attention.ts";
import { clipScale } from "../../src/ops/clip-scale.ts";
import { sumSquares } from "../../src/ops/sum-squares.ts";
import { batchedMatmul } from "../../src/ops/batched-matmul.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { rmsNorm } from "../../src/ops/rms-norm.ts";
import { rotary } from "../../src/ops/rotary.ts";
import { rotaryTable } from "../../src/ops/rotary-table.ts";
import { swiglu } from "../../src/ops/swiglu.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";

/** Values of a tensor, given those of its inputs. */
function evaluate(tensor: Tensor, inputs: readonly (readonly [Tensor, readonly number[]])[]): number[] {
  const runtime = createReferenceRuntime();
  const program = runtime.compile({ outputs: { tensor } });
  for (const [state, values] of inputs) runtime.write(state, values);
  program.run();
  return [...program.readNow("tensor")];
}

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const values = (length: number) =>
  fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: length, maxLength: length });

describe("rotary", () => {
  const length = 40;
  const size = 6;
  const x = input("x", [length, size]);
  const turned = rotary(x, rotaryTable({ length, dimension: size }), { heads: 1, headSize: size });
  const everywhere = (row: readonly number[]): number[][] => {
    const flat = evaluate(turned, [[x, Array.from({ length }, () => row).flat()]]);
    return Array.from({ length }, (_, t) => flat.slice(t * size, (t + 1) * size));
  };

  it("leaves position 0 and every length as they are", () => {
    fc.assert(
      fc.property(values(size), (row) => {
        const rows = everywhere(row);
        row.forEach((value, i) => expect(rows[0]![i]).toBeCloseTo(value, 12));
        for (const other of rows) expect(dot(other, other)).toBeCloseTo(dot(row, row), 10);
      }),
      { numRuns: 20 },
    );
  });

  it("makes products depend on the distance alone", () => {
    fc.assert(
      fc.property(values(size), values(size), fc.nat(19), fc.nat(19), (q, k, distance, shift) => {
        const queries = everywhere(q);
        const keys = everywhere(k);
        expect(dot(queries[distance + shift]!, keys[shift]!)).toBeCloseTo(dot(queries[distance]!, keys[0]!), 10);
      }),
      { numRuns: 20 },
    );
  });
});

describe("attention", () => {
  it("does not look ahead, and the first token sees itself", () => {
    const [length, size] = [7, 4];
    const qkv = input("qkv", [1, length, 3 * size]);
    const out = attention(qkv, { heads: 1, headSize: size });
    fc.assert(
      fc.property(values(length * 3 * size), fc.integer({ min: 1, max: length - 1 }), (row, from) => {
        const before = evaluate(out, [[qkv, row]]);
        const after = evaluate(out, [[qkv, row.map((value, i) => (i < from * 3 * size ? value : -value))]]);
        expect(after.slice(0, from * size)).toEqual(before.slice(0, from * size));
        before.slice(0, size).forEach((value, i) => expect(value).toBeCloseTo(row[2 * size + i]!, 12));
      }),
      { numRuns: 20 },
    );
  });
});

describe("adamw", () => {
  const shape = [3];
  const state = { param: input("p", shape), gradient: input("g", shape), m: input("m", shape), v: input("v", shape) };
  const schedule = input("schedule", [3]);
  const clip = input("clip", [2]);

  it("moves by the learning rate against the sign of the gradient at the first step", () => {
    const [param] = adamw({ ...state, schedule, clip }, { weightDecay: 0 });
    const moved = evaluate(param, [
      [state.param, [1, 2, 3]],
      [state.gradient, [5, -1e-3, 70]],
      [schedule, [0.1, 0.1, 0.05]],
      [clip, [0, 1]],
    ]);
    [0.9, 2.1, 2.9].forEach((value, i) => expect(moved[i]).toBeCloseTo(value, 5));
  });

  it("decays weights by rate times decay, whatever the gradient's size", () => {
    const [param] = adamw({ ...state, schedule, clip }, { weightDecay: 0.5, learningRateScale: 2 });
    const moved = evaluate(param, [
      [state.param, [1, 2, 4]],
      [schedule, [0.1, 0.1, 0.05]],
      [clip, [0, 1]],
    ]);
    [0.9, 1.8, 3.6].forEach((value, i) => expect(moved[i]).toBeCloseTo(value, 12));
  });
});

describe("clipScale", () => {
  it("brings the norm to the limit", () => {
    const x = input("x", [2]);
    const y = input("y", [1]);
    const [norm, factor] = evaluate(clipScale([sumSquares(x), sumSquares(y)], 1.5), [
      [x, [2, 1]],
      [y, [2]],
    ]);
    expect(norm).toBe(3);
    expect(factor).toBeCloseTo(0.5, 6);
  });
});

describe("operands that do not fit", () => {
  const tensor = (...shape: number[]): Tensor => input("x", shape);
  const table = rotaryTable({ length: 8, dimension: 4 });
  const cases: readonly (readonly [string, () => unknown, RegExp])[] = [
    ["matmul, inner sizes", () => matmul(tensor(3, 4), tensor(5, 6)), /b must be \[4, N\].*a \[3, 4\], b \[5, 6\]/],
    ["matmul, transposeB", () => matmul(tensor(3, 4), tensor(4, 6), { transposeB: true }), /b must be \[N, 4\]/],
    ["matmul, transposeA", () => matmul(tensor(3, 4), tensor(5, 6), { transposeA: true }), /all axes but the last/],
    ["matmul, vector", () => matmul(tensor(4), tensor(4, 6)), /reshape a vector/],
    ["matmul, batched b", () => matmul(tensor(2, 3, 4), tensor(2, 4, 6)), /batchedMatmul/],
    ["batchedMatmul, leading axes", () => batchedMatmul(tensor(2, 3, 4), tensor(3, 4, 6)), /same leading axes/],
    ["batchedMatmul, inner sizes", () => batchedMatmul(tensor(2, 3, 4), tensor(2, 5, 6)), /\[\.\.\., 4, N\]/],
    ["rmsNorm", () => rmsNorm(tensor(3, 4), tensor(3)), /x's last axis \(4\)/],
    ["swiglu", () => swiglu(tensor(3, 5)), /must be even/],
    ["rotary, length", () => rotary(tensor(7, 12), table, { heads: 2, headSize: 4 }), /x's 7 positions/],
    ["rotary, width", () => rotary(tensor(8, 12), table, { heads: 4, headSize: 4 }), /at least heads · headSize = 16/],
    ["rotary, wide table", () => rotary(tensor(8, 12), table, { heads: 4, headSize: 3 }), /wider than a head \(3\)/],
    ["rotaryTable", () => rotaryTable({ length: 8, dimension: 3 }), /must be even/],
    [
      "attention, width",
      () => attention(tensor(1, 8, 20), { heads: 2, kvHeads: 1, headSize: 4 }),
      /= 16\. Got qkv \[1, 8, 20\]/,
    ],
    [
      "attention, heads",
      () => attention(tensor(1, 8, 28), { heads: 3, kvHeads: 2, headSize: 4 }),
      /must divide heads \(3\)/,
    ],
    [
      "adamw",
      () => {
        const t = tensor(3);
        return adamw({ param: t, gradient: tensor(4), m: t, v: t, schedule: t, clip: tensor(2) });
      },
      /the parameter's shape/,
    ],
    ["clipScale", () => clipScale([tensor(3)]), /one sum of squares/],
  ];

  it.each(cases)("%s", (_name, build, message) => {
    expect(build).toThrow(ShapeError);
    expect(build).toThrow(message);
  });

  it("numbers out of range", () => {
    expect(() => clipScale([tensor()], 0)).toThrow(/clipScale: the limit is 0; it must be at least/);
    expect(() => rotaryTable({ length: 8, dimension: 4, theta: -1 })).toThrow(
      /rotaryTable: theta is -1 for 8 positions; it must be positive/,
    );
  });
});
