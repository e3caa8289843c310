// How an operation is compared with the reference at the ends of float32, value and gradient, in both builds of the
// kernels: the float64 value rounded to float32, an infinity for an infinity, and a NaN wherever the reference has one.

import { afterAll, beforeAll, expect } from "vitest";
import type { Tensor } from "../../src/graph/tensor.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { sum } from "../../src/ops/reductions.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";

/** Both builds of the kernels, once `openBuilds` has been called. */
export const runtimes: SynchronousRuntime[] = [];

/** Open both builds before the tests of a file, and close them after. */
export function openBuilds(): void {
  beforeAll(async () => {
    for (const build of ["relaxed", "simd"] as const) runtimes.push(await createWasmRuntime({ build, threads: 2 }));
  });
  afterAll(() => runtimes.forEach((runtime) => runtime.close()));
}

export const MAX = 3.4028234663852886e38;
/** Values at the ends of float32, and between. */
export const edges: readonly number[] = [
  0,
  -0,
  1.4e-45,
  -1.4e-45,
  1e-39,
  1.1754944e-38,
  1e-30,
  -1e-30,
  0.5,
  -3,
  10,
  -10,
  60,
  -60,
  87,
  -87,
  88,
  88.72,
  -88,
  -95,
  -103,
  -110,
  89,
  100,
  -200,
  1e4,
  -1e4,
  1e10,
  -1e10,
  1e13,
  -1e13,
  1e18,
  -1e18,
  1e25,
  -1e25,
  MAX,
  -MAX,
  Infinity,
  -Infinity,
  NaN,
].map(Math.fround);

interface Outcome {
  readonly y: ArrayLike<number>;
  readonly dx?: ArrayLike<number>;
}

/** What a runtime makes of y and of the gradient dx. */
export function outcome(
  runtime: SynchronousRuntime,
  y: Tensor,
  dx: Tensor | undefined,
  given: Map<Tensor, number[]>,
): Outcome {
  const program = runtime.compile({ outputs: { y, ...(dx && { dx }) } });
  for (const [tensor, values] of given) runtime.write(tensor, values);
  program.run();
  const result = { y: program.readNow("y"), ...(dx && { dx: program.readNow("dx")! }) };
  program.release();
  return result;
}

/** What float32 may make of a number: it, rounded; near the smallest normal ones 0 will do. */
export function expectNear(actual: number, exact: number, what: string, tolerance: number, absolute = 1.3e-38): void {
  const expected = Math.fround(exact);
  const fits =
    Object.is(actual, expected) ||
    (Number.isNaN(expected) && Number.isNaN(actual)) ||
    Math.abs(actual - expected) <= tolerance * Math.abs(expected) + absolute;
  expect(fits, `${what}: ${actual} in place of ${expected}`).toBe(true);
}

/** How near is near, and what else is given. */
interface Comparison {
  readonly tolerance?: number;
  readonly absolute?: number;
  /** A share of the largest value, beside the others: for sums in which large numbers cancel. */
  readonly ofLargest?: number;
  readonly gradient?: boolean;
  /** Values of other inputs. */
  readonly also?: readonly (readonly [Tensor, number[]])[];
}

/** A graph of one input, its gradient if it has one, on the reference and on all builds. */
export function compare(
  x: Tensor,
  y: Tensor,
  values: number[],
  { tolerance = 2e-6, absolute = 1.3e-38, ofLargest = 0, gradient = true, also = [] }: Comparison = {},
): Outcome {
  const [dx] = gradient ? gradients(sum(y), [x]) : [];
  const given = new Map<Tensor, number[]>([[x, values], ...also]);
  const expected = outcome(createReferenceRuntime(), y, dx, given);
  const shown = values.slice(0, 40).join(" ");
  for (const runtime of runtimes) {
    const actual = outcome(runtime, y, dx, given);
    for (const part of ["y", "dx"] as const) {
      const exact = Array.from(expected[part] ?? []);
      const largest = exact.reduce(
        (most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most),
        0,
      );
      const near = (part === "dx" ? absolute : Math.min(absolute, 2e-36)) + ofLargest * largest;
      Array.from(actual[part] ?? [], (value, i) =>
        expectNear(value, exact[i]!, `${runtime.kernels}, ${part} ${i} of ${shown}`, tolerance, near),
      );
    }
  }
  return expected;
}
