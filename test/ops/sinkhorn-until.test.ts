// Sinkhorn-Knopp that stops by its error: every matrix stops for itself, with the same bits whatever stands beside it.

import { afterAll, beforeAll, expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { multiply } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reductions.ts";
import { sinkhorn } from "../../src/ops/sinkhorn.ts";
import { sinkhornSteps, sinkhornUntil } from "../../src/ops/sinkhorn-until.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { normal, uniform } from "./harness.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

const n = 4;
const size = n * n;

/** h and dlogits of matrices one after the other. */
function run(logits: readonly number[], cotangent: readonly number[], iterations?: number): [number[], number[]] {
  const shape = [logits.length / size, n, n];
  const [l, g] = [input("l", shape), input("g", shape)];
  const h = iterations === undefined ? sinkhornUntil(l) : sinkhorn(l, { iterations });
  const [dl] = gradients(sum(multiply(h, g)), [l]);
  const program = wasm.compile({ outputs: { h, dl: dl! } });
  wasm.write(l, logits);
  wasm.write(g, cotangent);
  program.run();
  return [[...program.readNow("h")], [...program.readNow("dl")]];
}

const normals = (length: number, seed: number): number[] => {
  const random = uniform(seed);
  return Array.from({ length }, () => normal(random));
};

// Deviations from 0.1 to 2.5: from two iterations to dozens, beside each other in a group of eight.
const count = 21;
const logits = normals(count * size, 1).map((value, at) => value * (0.1 + 0.12 * Math.floor(at / size)));
const cotangent = normals(count * size, 2);
const matrix = (values: readonly number[], at: number): number[] => values.slice(at * size, (at + 1) * size);

test("a matrix has the same bits, forward and backward, alone and among others that need more or fewer iterations", () => {
  const [h, dl] = run(logits, cotangent);
  for (let at = 0; at < count; at++) {
    const [own, ownGradient] = run(matrix(logits, at), matrix(cotangent, at));
    expect(own).toEqual(matrix(h, at));
    expect(ownGradient).toEqual(matrix(dl, at));
  }
});

test("the bits stay as they are when the engine has optimised the kernels", () => {
  const [l, g] = [input("l", [count, n, n]), input("g", [count, n, n])];
  const h = sinkhornUntil(l);
  const [dl] = gradients(sum(multiply(h, g)), [l]);
  const program = wasm.compile({ outputs: { h, dl: dl! } });
  wasm.write(l, logits);
  wasm.write(g, cotangent);
  program.run();
  const [first, firstGradient] = [program.readNow("h"), program.readNow("dl")];
  for (let time = 0; time < 1000; time++) program.run();
  expect(program.readNow("h")).toEqual(first);
  expect(program.readNow("dl")).toEqual(firstGradient);
});

test("no column is off by more than the tolerance, and the iterations follow the logits", () => {
  const [h] = run(logits, cotangent);
  const steps: number[] = [];
  for (let at = 0; at < count; at++) {
    const P = matrix(h, at);
    for (let j = 0; j < n; j++) {
      const column = [0, 1, 2, 3].reduce((total, i) => total + P[i * n + j]!, 0);
      expect(Math.abs(column - 1)).toBeLessThan(1.2e-5);
    }
    steps.push(sinkhornSteps(Float64Array.from(matrix(logits, at)), n, { tolerance: 1e-5, most: 200 }));
  }
  expect(Math.min(...steps)).toBeLessThan(5);
  expect(Math.max(...steps)).toBeGreaterThan(20);
});

test("the values and the gradient are those of Sinkhorn-Knopp with as many iterations", () => {
  const [h, dl] = run(logits, cotangent);
  for (let at = 0; at < count; at++) {
    const own = matrix(logits, at);
    const T = sinkhornSteps(Float64Array.from(own), n, { tolerance: 1e-5, most: 200 });
    // In float32 the error may pass the tolerance one iteration earlier or later.
    const nearest = [T - 1, T, T + 1].map((iterations) => {
      const [value, gradient] = run(own, matrix(cotangent, at), Math.max(1, iterations));
      const far = (a: readonly number[], b: readonly number[]): number =>
        Math.max(...a.map((x, k) => Math.abs(x - b[k]!)));
      return Math.max(far(value, matrix(h, at)), far(gradient, matrix(dl, at)));
    });
    expect(Math.min(...nearest)).toBeLessThan(3e-6);
  }
});

test("a tolerance that float32 cannot keep is refused", () => {
  expect(() => sinkhornUntil(input("l", [1, 2, 2]), { tolerance: 1e-8 })).toThrow(
    /tolerance is 1e-8; it must be from 0.000001 to below 1/,
  );
  expect(() => sinkhornUntil(input("l", [1, 2, 2]), { most: 0 })).toThrow(/most/);
});
