// The exact entropic projection: it is one, for logits of any size, and equals the limit of Sinkhorn-Knopp. Its
// gradient, which Sinkhorn with the implicit backward shares, is the limit of the unrolled one.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gradients } from "../../src/ops/gradients.ts";
import { input } from "../../src/graph/state.ts";
import { birkhoffProjection, projectEntropically } from "../../src/ops/birkhoff-projection.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reductions.ts";
import { implicitGradient } from "../../src/ops/entropic-backward.ts";
import { sinkhornImplicit } from "../../src/ops/sinkhorn-implicit.ts";
import { sinkhornGradient, sinkhornIterates } from "../../src/ops/sinkhorn.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { normal, uniform } from "./harness.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

const normals = (count: number, scale: number, random: () => number): Float64Array =>
  Float64Array.from({ length: count }, () => scale * normal(random));
const largest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, at) => Math.abs(value - b[at]!)));

/** Largest |sum − 1| of the rows and columns of n × n matrices. */
function stochasticError(matrices: ArrayLike<number>, n: number): number {
  let worst = 0;
  for (let line = 0; line < matrices.length / n; line++) {
    const start = Math.floor(line / n) * n * n;
    let [row, column] = [-1, -1];
    for (let k = 0; k < n; k++) {
      row += matrices[line * n + k]!;
      column += matrices[start + k * n + (line % n)]!;
    }
    worst = Math.max(worst, Math.abs(row), Math.abs(column));
  }
  return worst;
}

/** Values and gradient of [count, n, n] logits against a cotangent. */
function run(
  runtime: SynchronousRuntime,
  values: ArrayLike<number>,
  cotangent: ArrayLike<number>,
  n: number,
  operation = birkhoffProjection,
): { out: ArrayLike<number>; grad: ArrayLike<number> } {
  const shape = [values.length / (n * n), n, n];
  const [logits, g] = [input("logits", shape), input("cotangent", shape)];
  const out = operation(logits);
  const [grad] = gradients(sum(multiply(out, g)), [logits]);
  const program = runtime.compile({ outputs: { out, grad: grad! } });
  runtime.write(logits, values);
  runtime.write(g, cotangent);
  program.run();
  return { out: program.readNow("out"), grad: program.readNow("grad") };
}

test.each([1, 2, 3, 4, 8])("it and the implicit gradient are the limits of Sinkhorn-Knopp's, n = %i", (n) => {
  const random = uniform(n);
  for (let sample = 0; sample < 50; sample++) {
    const [logits, g] = [normals(n * n, 0.7, random), normals(n * n, 1, random)];
    const limit = sinkhornIterates(logits, n, 500)[1000]!;
    const unrolled = sinkhornGradient(logits, g, n, 500);
    expect(largest(projectEntropically(logits, n), limit)).toBeLessThan(1e-13);
    expect(largest(implicitGradient(limit, g, n), unrolled)).toBeLessThan(1e-13);
    expect(largest(implicitGradient(projectEntropically(logits, n), g, n), unrolled)).toBeLessThan(1e-13);
  }
});

test("the golden implicit gradient, to 1e-13", () => {
  const flat = (values: unknown): number[] => (Array.isArray(values) ? values.flatMap(flat) : [values as number]);
  const golden = JSON.parse(readFileSync(new URL("../fixtures/mhc.json", import.meta.url), "utf8"));
  const { logits, cotangent, out } = golden["sinkhorn/paper_eq9_T500"];
  const n = logits.at(-1).at(-1).length;
  const expected = flat(golden["sinkhorn/implicit_grad"].grad);
  const reference = createReferenceRuntime();
  const exact = run(reference, flat(logits), flat(cotangent), n);
  expect(largest(exact.out, flat(out))).toBeLessThan(1e-13);
  expect(largest(exact.grad, expected)).toBeLessThan(1e-13);
  const long = run(reference, flat(logits), flat(cotangent), n, (l) => sinkhornImplicit(l, { iterations: 500 }));
  expect(largest(long.grad, expected)).toBeLessThan(1e-13);
});

describe.each([1, 2, 3, 4, 8])("n = %i", (n) => {
  test.each([0, 1, 10, 50, 200])("logits of deviation %i are projected to rounding, in both precisions", (scale) => {
    const random = uniform(100 * n + scale);
    const [logits, g] = [normals(101 * n * n, scale, random).map(Math.fround), normals(101 * n * n, 1, random)];
    const exact = run(createReferenceRuntime(), logits, g, n);
    expect(stochasticError(exact.out, n)).toBeLessThan(1e-14);
    const { out, grad } = run(wasm, logits, g, n);
    expect(stochasticError(out, n)).toBeLessThan(3e-6);
    expect(Math.min(...Array.from(out))).toBeGreaterThanOrEqual(0);
    expect(largest(out, exact.out)).toBeLessThan(1e-5);
    expect(largest(grad, exact.grad)).toBeLessThan(1e-5);
  });
});

test("log P − L is a sum of a row's and a column's number: it is the entropic projection", () => {
  const logit = fc.double({ min: -12, max: 12, noNaN: true });
  fc.assert(
    fc.property(fc.array(logit, { minLength: 16, maxLength: 16 }), (values) => {
      const logits = Float64Array.from(values);
      const p = projectEntropically(logits, 4);
      const scaling = p.map((value, at) => Math.log(value) - logits[at]!);
      for (let i = 1; i < 4; i++) {
        for (let j = 1; j < 4; j++) {
          const mixed = scaling[i * 4 + j]! - scaling[i * 4]! - scaling[j]! + scaling[0]!;
          expect(Math.abs(mixed)).toBeLessThan(1e-11);
        }
      }
    }),
  );
});

test("groups of columns that hang together by a thread are projected, whatever their order", () => {
  const random = uniform(5);
  for (const [within, gap] of [
    [1, 20],
    [5, 100],
    [20, 200],
  ] as const) {
    const count = 200;
    const logits = new Float64Array(count * 36);
    for (let m = 0; m < count; m++) {
      const order = [0, 1, 2, 3, 4, 5].map((column) => [random(), column] as const).sort((a, b) => a[0] - b[0]);
      for (let i = 0; i < 6; i++) {
        for (let j = 0; j < 6; j++) {
          const apart = Math.floor(i / 2) === Math.floor(order[j]![1] / 2) ? 0 : gap * (1 + 0.1 * normal(random));
          logits[m * 36 + i * 6 + j] = Math.fround(within * normal(random) - apart);
        }
      }
    }
    const g = normals(logits.length, 1, random);
    const { out, grad } = run(wasm, logits, g, 6);
    expect(stochasticError(out, 6)).toBeLessThan(3e-6);
    const exact = run(createReferenceRuntime(), logits, g, 6);
    expect(stochasticError(exact.out, 6)).toBeLessThan(1e-14);
    expect(largest(grad, exact.grad)).toBeLessThan(1e-4);
  }
});

test("rows and columns of the gradient sum to zero: a row's or column's number changes nothing", () => {
  const random = uniform(8);
  for (const scale of [1, 10, 100]) {
    for (let sample = 0; sample < 50; sample++) {
      const p = projectEntropically(normals(25, scale, random), 5);
      const dlogits = implicitGradient(p, normals(25, 1, random), 5);
      for (let i = 0; i < 5; i++) {
        const sums = [0, 0];
        for (let k = 0; k < 5; k++) {
          sums[0]! += dlogits[i * 5 + k]!;
          sums[1]! += dlogits[k * 5 + i]!;
        }
        expect(Math.max(...sums.map(Math.abs))).toBeLessThan(1e-14);
      }
    }
  }
});

test("a matrix's bits do not depend on its neighbours", () => {
  const random = uniform(3);
  const logits = [0, 1, 200, 5, 50, 0.1, 10, 100, 3].flatMap((scale) => [...normals(16, scale, random)]);
  const g = normals(logits.length, 1, random);
  const together = run(wasm, logits, g, 4);
  for (let m = 0; m < 9; m++) {
    const alone = run(wasm, logits.slice(16 * m, 16 * m + 16), g.slice(16 * m, 16 * m + 16), 4);
    expect(Array.from(alone.out)).toEqual(Array.from(together.out).slice(16 * m, 16 * m + 16));
    expect(Array.from(alone.grad)).toEqual(Array.from(together.grad).slice(16 * m, 16 * m + 16));
  }
});

test("what is not a number shows, and stays with its matrix", () => {
  const values = new Float64Array(48);
  values[3] = NaN;
  const { out } = run(
    wasm,
    values,
    values.map(() => 1),
    4,
  );
  expect(Number.isNaN(out[3]!)).toBe(true);
  expect(Array.from(out).slice(16)).toEqual(Array<number>(32).fill(0.25));
});

test("what does not fit is refused", () => {
  expect(() => birkhoffProjection(input("l", [3, 4]))).toThrow(/square matrix/);
  expect(() => sinkhornImplicit(input("l", [4, 4]), { iterations: 0 })).toThrow(/1 or more, got 0/);
  const large = input("l", [2, 100, 100]);
  expect(() => wasm.compile({ outputs: { p: birkhoffProjection(large) } })).toThrow(
    /matrices of 100 × 100; the CPU runtime does 88 × 88 at most/,
  );
});
