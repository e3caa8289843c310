// Every element-wise and row-wise operation at the ends of float32 is the reference (edge.ts), value and gradient.

import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import { crossEntropy } from "../../src/ops/cross-entropy.ts";
import {
  exp,
  gelu,
  log,
  multiply,
  reciprocal,
  relu,
  sigmoid,
  silu,
  sqrt,
  square,
  tanh,
} from "../../src/ops/elementwise.ts";
import { chooseExperts } from "../../src/ops/expert-choice.ts";
import { maxLast } from "../../src/ops/max-last.ts";
import { sumLast } from "../../src/ops/reductions.ts";
import { rmsNorm } from "../../src/ops/rms-norm.ts";
import { rotaryTable } from "../../src/ops/rotary-table.ts";
import { sinkhorn } from "../../src/ops/sinkhorn.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { swiglu } from "../../src/ops/swiglu.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { compare, edges, expectNear, MAX, openBuilds, outcome, runtimes } from "./edge.ts";

openBuilds();

const elementwise = { exp, log, tanh, sigmoid, silu, gelu, relu, square, sqrt, reciprocal };
const curves = ["exp", "log", "tanh", "sigmoid", "silu", "gelu", "relu", "square", "sqrt", "reciprocal"] as const;
describe.each(curves)("%s", (name) => {
  // A tail alone, whole vectors, and one of each.
  test.each([1, 8, 11])("at the ends of float32, %i at a time", (count) => {
    const x = input("x", [count]);
    // 1 − y² of a y near 1 has few digits in float32, and silu is 0 where it is below 1e-36.
    const absolute = name === "tanh" || name === "sigmoid" ? 1.2e-7 : 2e-36;
    for (const edge of edges)
      compare(x, elementwise[name](x), Array<number>(count).fill(edge), { tolerance: 3e-6, absolute });
  });
  test("one such value changes no other", () => {
    const x = input("x", [64]);
    const y = elementwise[name](x);
    const ordinary = Array.from({ length: 64 }, (_, i) => Math.fround(0.1 + i / 16));
    for (const runtime of runtimes) {
      const plain = [...(outcome(runtime, y, undefined, new Map([[x, ordinary]])).y as Float32Array)];
      for (const edge of [0, -5, 1e-40, 100, -100, Infinity, NaN]) {
        const mixed = [...ordinary.slice(0, 20), edge, ...ordinary.slice(21)];
        const after = [...(outcome(runtime, y, undefined, new Map([[x, mixed]])).y as Float32Array)];
        expect(after.toSpliced(20, 1)).toEqual(plain.toSpliced(20, 1));
      }
    }
  });
});

test("equal scores are equally likely, however large they are", async () => {
  const [x, targets] = [input("x", [1, 4]), input("targets", [1], "i32")];
  for (const large of [1e10, 1e20, 1e38, -1e20])
    for (const runtime of [...runtimes, createReferenceRuntime()]) {
      const program = runtime.compile({ outputs: { p: softmax(x), loss: crossEntropy(x, targets) } });
      runtime.write(x, [large, large, large, Math.min(-2 * large, 2 * large)]);
      runtime.write(targets, Int32Array.of(1));
      program.run();
      for (const p of (await program.read("p")).slice(0, 3)) expect(p).toBeCloseTo(1 / 3, 6);
      expect((await program.read("loss"))[0]).toBeCloseTo(Math.log(3), 6);
      program.release();
    }
});

test.each([0x7fffffff, 0xffffffff, 0x7fc00001, 0x7f800001])("a NaN of the bits %i stays a NaN", (bits) => {
  const x = input("x", [1, 11]);
  const values = new Float32Array(new Uint32Array(11).fill(bits).buffer);
  for (const runtime of runtimes)
    for (const curve of [...Object.values(elementwise), softmax]) {
      const program = runtime.compile({ outputs: { y: curve(x) } });
      runtime.write(x, values);
      program.run();
      expect([...program.readNow("y")].every(Number.isNaN), `${runtime.kernels}, ${curve.name}`).toBe(true);
      program.release();
    }
});

test("the limits are IEEE's, or the mathematical ones", () => {
  const x = input("x", [1]);
  const limits = {
    exp: [
      [-Infinity, 0],
      [Infinity, Infinity],
      [100, Infinity],
      [-200, 0],
    ],
    log: [
      [0, -Infinity],
      [-1, NaN],
      [Infinity, Infinity],
      [Math.fround(1e-40), Math.log(Math.fround(1e-40))],
    ],
    silu: [
      [-Infinity, 0],
      [-MAX, 0],
      [MAX, MAX],
      [Infinity, Infinity],
    ],
    gelu: [
      [-Infinity, 0],
      [-MAX, 0],
      [MAX, MAX],
      [Infinity, Infinity],
    ],
  } as const;
  for (const [name, pairs] of Object.entries(limits))
    for (const [at, limit] of pairs)
      expectNear(compare(x, elementwise[name as keyof typeof limits](x), [at]).y[0]!, limit, `${name}(${at})`, 1e-6);
  for (const name of ["silu", "gelu"] as const)
    for (const at of [1e13, 1e20, MAX, Infinity]) {
      expect(compare(x, elementwise[name](x), [at]).dx![0]).toBeCloseTo(1, 6);
      expect(compare(x, elementwise[name](x), [-at]).dx![0]).toBeCloseTo(0, 6);
    }
});

test.each([1, 8, 13])("swiglu of gates at the ends, width %i", (H) => {
  const x = input("x", [2 * H]);
  for (const gate of edges)
    for (const value of [0, -2, 3, NaN])
      compare(x, swiglu(x), [...Array<number>(H).fill(gate), ...Array<number>(H).fill(value)], {
        tolerance: 3e-6,
        absolute: 2e-36,
      });
});

const rows: readonly number[][] = [
  [0, 0, 0],
  [1e38, -1e38, 0],
  [MAX, -MAX, 1],
  [3, 3 - 800, 2],
  [1e4, -1e4, 9999],
  [-Infinity, -Infinity, -Infinity],
  [-Infinity, 1, 2],
  [Infinity, 1, 2],
  [NaN, 1, 2],
  [1, 2, NaN],
  [1e-40, -1e-40, 0],
  [-1e38, -1e38 + 1e31, -MAX],
];
test.each(rows.map((row) => [row.map(Math.fround)]))("rows of logits %j", (row) => {
  const x = input("x", [1, 3]);
  compare(x, maxLast(x), row, { gradient: false });
  compare(
    x,
    sumLast(x),
    row.map((value) => value / 4),
  );
  compare(x, square(softmax(x)), row, { tolerance: 1e-5, absolute: 1e-6 });
  const targets = input("targets", [1], "i32");
  for (const target of [0, 1, 2])
    compare(x, crossEntropy(x, targets), row, {
      tolerance: 1e-5,
      absolute: 1e-6,
      // The logarithm of the sum is kept in float32: of larger logits it has no fraction left.
      gradient: Math.abs(row[0]!) < 1e3,
      also: [[targets, [target]]],
    });
});

test.each([3, 8, 19])("rmsNorm of %i channels: zeros, squares that overflow, subnormals", (C) => {
  const [x, w] = [input("x", [2, C]), input("w", [C])];
  const weights = Array.from({ length: C }, (_, c) => 1 + c / 8);
  for (const size of [0, 1e-44, 1e-30, 1e-12, 1, 1e15, 1e17, 1e18, 1e20, 1e30, 1e38, Infinity, NaN]) {
    for (const epsilon of [1e-6, 1e-20, Math.fround(1.4e-45)]) {
      const values = Array.from({ length: 2 * C }, (_, i) => Math.fround(size * (((i * 7) % 5) - 1.5)));
      const y = multiply(rmsNorm(x, w, epsilon), input("c", [2, C]));
      const c = y.node.inputs[1]!;
      // Gradients beyond float32 are left out: they are of rows of about zero with an epsilon of about zero.
      const slopes = Array.from({ length: 2 * C }, (_, i) => ((i * 3) % 4) - 1);
      const gradient = !(size < 1e-20 && epsilon < 1e-30);
      compare(x, y, values, {
        tolerance: 1e-4,
        gradient,
        also: [
          [w, weights],
          [c, slopes],
        ],
      });
    }
  }
});

test("a normalised row of huge numbers is not zero", () => {
  const [x, w] = [input("x", [1, 4]), input("w", [4])];
  const { y } = compare(x, rmsNorm(x, w), [1e30, -1e30, 1e30, 1e30], { also: [[w, [1, 1, 1, 1]]] });
  expect([...(y as Float64Array)].map((value) => Math.round(value * 1e6) / 1e6)).toEqual([1, -1, 1, 1]);
});

test.each([1, 2, 3, 4, 6])("sinkhorn of logits that lie far apart, n = %i", (n) => {
  const x = input("x", [n, n]);
  for (const size of [0, 50, 400, 745, 800, 1e4, 1e20, 1e38, NaN, Infinity]) {
    const logits = Array.from({ length: n * n }, (_, i) => Math.fround(size * (((i * 5) % 7) / 3 - 1)));
    const { y } = compare(x, sinkhorn(x, { iterations: 20 }), logits, { tolerance: 1e-3, gradient: false });
    if (Number.isFinite(size)) expect(Array.from(y).every((value) => value >= 0 && value <= 1 + 1e-9)).toBe(true);
    else expect(Array.from(y).some(Number.isNaN)).toBe(true);
  }
});

test("experts: NaN scores have NaN weights, ties go to the earlier, none is chosen twice", () => {
  const [scores, bias] = [input("scores", [1, 4]), input("bias", [4])];
  const { experts, weights } = chooseExperts(scores, bias, { active: 3 });
  for (const [row, chosen] of [
    [
      [0.5, 0.5, 0.5, 0.5],
      [0, 1, 2],
    ],
    [
      [0, 0, 0, 0],
      [0, 1, 2],
    ],
    [
      [0.1, NaN, 0.9, 0.5],
      [0, 1, 2],
    ],
    [
      [NaN, NaN, NaN, NaN],
      [0, 1, 2],
    ],
  ] as const) {
    for (const runtime of [createReferenceRuntime(), ...runtimes]) {
      const program = runtime.compile({ outputs: { experts, weights } });
      runtime.write(scores, row);
      runtime.write(bias, [0, 0, 0, 0]);
      program.run();
      expect([...program.readNow("experts")]).toEqual(chosen);
      const known = !row.some(Number.isNaN);
      expect([...program.readNow("weights")].map(Number.isNaN)).toEqual([!known, !known, !known]);
      runtime.write(scores, [0.1, 0.2, 0.3, 0.4]);
      runtime.write(bias, [-Infinity, -Infinity, 0, -Infinity]);
      program.run();
      expect(new Set(program.readNow("experts")).size).toBe(3);
    }
  }
});

test("late positions turn as in float64; angles that nobody can compute are refused", () => {
  const length = 200_000;
  const table = rotaryTable({ length, dimension: 4, theta: 10000 });
  for (const runtime of runtimes) {
    const program = runtime.compile({ outputs: { table } });
    program.run();
    const values = program.readNow("table");
    for (const t of [0, 1, 131_071, length - 1]) {
      expect(values[4 * t]).toBeCloseTo(Math.cos(t), 6);
      expect(values[4 * t + 3]).toBeCloseTo(Math.sin(t / 100), 6);
    }
    program.release();
  }
  for (const theta of [0, -1, NaN, Infinity, 1e-300])
    expect(() => rotaryTable({ length: 100, dimension: 64, theta })).toThrow(/^rotaryTable: theta is/);
});

test.each([-1e-6, 1e-46, 1e39, 1e308, NaN, Infinity])("an epsilon of %d is refused", (epsilon) => {
  expect(() => rmsNorm(input("x", [2, 3]), input("w", [3]), epsilon)).toThrow(
    /^rmsNorm: epsilon is .*; it must be 0, or/,
  );
});
