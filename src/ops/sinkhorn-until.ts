// Question: what does Sinkhorn-Knopp give when each matrix iterates until its columns sum to one?
//
// As sinkhorn.ts, but the number of iterations T follows the measured error: with rows normalised last, a matrix is done
// when |Σ_i P_ij − 1| ≤ tolerance for every column, or after `most` iterations. T depends on the matrix alone, so the
// result has the same bits whatever else is computed with it. The column sums that the error is measured by are the
// divisors of the next iteration, so measuring costs nothing.
//
// Backward: the gradient of the T iterations that were run, T held fixed (it is constant but for logits at which the error
// equals the tolerance). The iterates are computed again.
// Shapes: logits, h [..., n, n].

import { MOST_ITERATIONS } from "../basics/bounds.ts";
import { expectFields } from "../basics/fields.ts";
import { expectWhole } from "../basics/ranges.ts";
import { apply, lastAxis, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";
import { sinkhornFlops, sinkhornGradient, sinkhornResult } from "./sinkhorn.ts";

/** When Sinkhorn-Knopp is done with a matrix. */
export interface SinkhornUntilAttributes {
  /** The largest |column sum − 1| of a matrix that is done. */
  readonly tolerance: number;
  /** The most iterations. */
  readonly most: number;
}

/** The iterations that a matrix takes: the least T ≥ 1 after which no column is off by more than the tolerance. */
export function sinkhornSteps(logits: Float64Array, n: number, { tolerance, most }: SinkhornUntilAttributes): number {
  const P = sinkhornResult(logits, n, 1);
  let T = 1;
  for (; T < most; T++) {
    const columns = Array.from({ length: n }, (_, j) => lineSum(P, j, n));
    if (columns.every((sum) => Math.abs(sum - 1) <= tolerance)) break;
    P.forEach((value, at) => (P[at] = value / columns[at % n]!));
    const rows = Array.from({ length: n }, (_, i) => lineSum(P, i * n, 1));
    P.forEach((value, at) => (P[at] = value / rows[Math.floor(at / n)]!));
  }
  return T;
}

/** The sum of a line of a square matrix, from its first entry on with a step. */
function lineSum(P: Float64Array, first: number, step: number): number {
  let sum = 0;
  for (let k = 0; k < Math.sqrt(P.length); k++) sum += P[first + k * step]!;
  return sum;
}

export const sinkhornUntilOperation: Operation<["logits"], ["h"], SinkhornUntilAttributes> = {
  name: "sinkhornUntil",
  inputs: ["logits"],
  outputs: ["h"],
  infer({ logits }, { tolerance, most }) {
    expectShapes(
      logits.shape.length >= 2 && lastAxis(logits.shape) === logits.shape.at(-2),
      "sinkhornUntil",
      { logits },
      "the last two axes must be a square matrix [n, n].",
    );
    expectTolerance("sinkhornUntil", tolerance);
    expectWhole("sinkhornUntil", "most", most, 1, MOST_ITERATIONS);
    return { h: { shape: logits.shape, dtype: "f32" } };
  },
  gradient: ({ logits }, { h: g }, attributes) => ({
    logits: apply(sinkhornUntilBackwardOperation, { logits, g }, attributes).dlogits,
  }),
  // The number of iterations depends on the logits: for a tolerance of 1e-5 eight on average at a deviation of 1.
  flops: ({ logits }) => sinkhornFlops(USUAL) * sizeOf(logits.shape),
  reference({ logits }, { h }, attributes) {
    const n = lastAxis(logits.shape);
    for (let at = 0; at < h.size / n ** 2; at++) {
      const own = logits.matrix(at).data;
      h.matrix(at).data.set(sinkhornResult(own, n, sinkhornSteps(own, n, attributes)));
    }
  },
};

const USUAL = 8;

export const sinkhornUntilBackwardOperation: Operation<["logits", "g"], ["dlogits"], SinkhornUntilAttributes> = {
  name: "sinkhornUntilBackward",
  inputs: ["logits", "g"],
  outputs: ["dlogits"],
  infer: ({ logits }) => ({ dlogits: { shape: logits.shape, dtype: "f32" } }),
  flops: ({ logits }) => (sinkhornFlops(USUAL) + 6 * USUAL) * sizeOf(logits.shape),
  reference({ logits, g }, { dlogits }, attributes) {
    const n = lastAxis(logits.shape);
    for (let at = 0; at < g.size / n ** 2; at++) {
      const own = logits.matrix(at).data;
      const T = sinkhornSteps(own, n, attributes);
      dlogits.matrix(at).data.set(sinkhornGradient(own, g.matrix(at).data, n, T));
    }
  },
};

/** Throw unless columns can come so close. Float32 sums of rows that are normalised differ from one by up to 1e-6. */
export function expectTolerance(operation: string, tolerance: number): void {
  if (tolerance >= LEAST_TOLERANCE && tolerance < 1) return;
  throw new RangeError(
    `${operation}: tolerance is ${tolerance}; it must be from ${LEAST_TOLERANCE} to below 1: column sums in float32 come no closer to one. The default is ${TOLERANCE}.`,
  );
}

/** The least tolerance. */
export const LEAST_TOLERANCE = 1e-6;
const TOLERANCE = 1e-5;
const MOST = 200;

/**
 * Sinkhorn-Knopp normalisation with as many iterations as a matrix needs: exp, then columns and rows in turn until no
 * column is off by more than a tolerance. Each matrix stops for itself, so its bits do not depend on the others.
 *
 * Source: Eq. 9 of arXiv 2512.24880, stopped by its error.
 *
 * @param logits [..., n, n]
 * @param options tolerance: the largest |column sum − 1|, default 1e-5; most: the most iterations, default 200, which
 *   logits of a deviation of 2 and more can reach, and then the columns are as far off as they are
 * @returns [..., n, n], rows summing to one. The gradient is that of the iterations that were run
 * @throws ShapeError when the last two axes differ; RangeError for a tolerance below 1e-6 or from 1, or bad `most`
 */
export function sinkhornUntil(logits: Tensor, options: Partial<SinkhornUntilAttributes> = {}): Tensor {
  expectFields("sinkhornUntil", options, { tolerance: "number", most: "number" });
  const { tolerance = TOLERANCE, most = MOST } = options;
  return apply(sinkhornUntilOperation, { logits }, { tolerance, most }).h;
}
