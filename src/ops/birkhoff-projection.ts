// The entropic projection onto the doubly stochastic matrices, to rounding: where Sinkhorn-Knopp would end
// after infinitely many iterations (mHC-proj, arXiv 2606.07574, by another step rule).
//
//   P = exp(L + u1ᵀ + 1vᵀ) with P1 = 1, Pᵀ1 = 1:   the least Σ P (log P − L) over those matrices
//
// Rows are made to sum to one exactly, P(v) = row softmax of L + 1vᵀ, so the dual is left in v alone:
//
//   minimise φ(v) = Σ_i log Σ_j exp(L_ij + v_j) − Σ_j v_j      ∇φ = c − 1, c = P(v)ᵀ1      ∇²φ = S
//
// S is the Laplacian of the columns (column-graph.ts), so a Newton step solves S δ = 1 − c. Far away it must be
// shortened. φ is self-concordant: along steps of range ρ = max δ − min δ its third derivative is at most ρ times
// its second, and for those ln(1 + ρ) in place of ρ always descends (Sun and Tran-Dinh 2019). It has the right
// size, too: where columns are tied by e^(−gap) only, δ is about e^gap, and v is to move by about the gap. Here
// every column's excess over its neighbours is shortened so, for itself, as it is found in the elimination; a
// group of columns that hangs on by a thread then takes a long step without holding up the others. What rounding
// alone asks for is left undone. The last steps multiply P itself by e^δ, since v, a number of the size of the
// logits, is too coarse.
//
// Backward: entropicBackward (sinkhorn-implicit.ts), exact because P is. Derivation:
// docs/derivations/manifolds.md. Shapes: L, P [..., n, n].

import { applyOne, lastAxis, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";
import { columnWeights, solveColumns } from "./column-graph.ts";
import { expectShapes } from "./shapes.ts";
import { entropicBackwardOperation } from "./sinkhorn-implicit.ts";

/** When no column is off by more, v is near enough, and the steps multiply P. */
const NEAR = 1e-2;
/** A flow that rounding alone can ask for. Columns are right when off by n + 2 of these at most. */
const ROUNDING = 2 ** -51;
/** Hardly ever met: normal logits of deviation 1, 10 and 200 take 5, 11 and 50 steps at n = 8, a hundred at most. */
const MOST_STEPS = 400;
/** P is never multiplied by more than e to this. */
const LONGEST = 20;
/** Logarithm of the least entry of P, before its row is normalised. */
const LEAST = -600;

/** The doubly stochastic matrix diag(e^u) exp(L) diag(e^v). */
export function projectEntropically(logits: Float64Array, n: number): Float64Array {
  const v = new Float64Array(n);
  let p = shiftedSoftmax(logits, v, n);
  let step = 0;
  for (; step < MOST_STEPS && columnError(p, n) > NEAR; step++) {
    newtonStep(p, n).forEach((value, j) => (v[j]! += value));
    p = shiftedSoftmax(logits, v, n);
  }
  for (; step < MOST_STEPS && columnError(p, n) > ROUNDING * (n + 2); step++) {
    const factors = newtonStep(p, n).map((value) => Math.exp(Math.max(-LONGEST, Math.min(LONGEST, value))));
    const moved = p.map((value, at) => value * factors[at % n]!);
    p = normaliseRows(moved, n);
  }
  return p;
}

/** δ of S δ = 1 − c, shortened. */
function newtonStep(p: Float64Array, n: number): Float64Array {
  const c = columnSums(p, n);
  // Any flows with these sums will do; these spread them evenly.
  const flows = p.map((_, at) => (c[at % n]! - c[Math.floor(at / n)]!) / n);
  return solveColumns(columnWeights(p, n), flows, n, (wanted, total) =>
    Math.abs(wanted) < ROUNDING ? 0 : Math.sign(wanted) * Math.log1p(Math.abs(wanted) / total),
  );
}

/** Row softmax of L + 1vᵀ, with entries no less than e^LEAST before they are divided by their sum. */
function shiftedSoftmax(logits: Float64Array, v: Float64Array, n: number): Float64Array {
  const p = logits.map((value, at) => value + v[at % n]!);
  for (let row = 0; row < n * n; row += n) {
    const line = p.subarray(row, row + n);
    const highest = Math.max(...line);
    line.forEach((value, j) => (line[j] = Math.exp(Math.max(value - highest, LEAST))));
  }
  return normaliseRows(p, n);
}

function normaliseRows(p: Float64Array, n: number): Float64Array {
  for (let row = 0; row < n * n; row += n) {
    const line = p.subarray(row, row + n);
    const sum = line.reduce((a, b) => a + b, 0);
    line.forEach((value, j) => (line[j] = value / sum));
  }
  return p;
}

function columnSums(p: Float64Array, n: number): Float64Array {
  const sums = new Float64Array(n);
  p.forEach((value, at) => (sums[at % n]! += value));
  return sums;
}

function columnError(p: Float64Array, n: number): number {
  return Math.max(...columnSums(p, n).map((c) => Math.abs(c - 1)));
}

export const birkhoffProjectionOperation: Operation<["logits"], ["p"]> = positional<["logits"], ["p"], unknown>({
  name: "birkhoffProjection",
  inputs: ["logits"],
  outputs: ["p"],
  infer([logits]) {
    expectShapes(
      logits!.shape.length >= 2 && lastAxis(logits!.shape) === logits!.shape.at(-2),
      "birkhoffProjection",
      { logits: logits! },
      "the last two axes must be a square matrix [n, n].",
    );
    return [{ shape: logits!.shape, dtype: "f32" }];
  },
  gradient: ({ outputs: [p] }, [g]) => [applyOne(entropicBackwardOperation, [p!, g!], {})],
  // How many steps a matrix takes depends on its logits; about seven for a deviation of 4.
  flops: ({ inputs: [logits] }) => 7 * (20 + 2 * lastAxis(logits!.shape)) * sizeOf(logits!.shape),
  reference([logits], [out]) {
    const n = lastAxis(logits!.shape);
    for (let at = 0; at < out!.data.length; at += n * n) {
      out!.data.set(projectEntropically(logits!.data.subarray(at, at + n * n), n), at);
    }
  },
});

/**
 * The exact entropic projection onto the doubly stochastic matrices: exp(logits) with rows and columns scaled
 * so that all of them sum to one. It is the limit of `sinkhorn`, reached by Newton's method, and its
 * gradient is that of the limit.
 *
 * Source: accelerated Birkhoff projection (arXiv 2606.07574), its step shortened as self-concordance
 * allows (Sun and Tran-Dinh, Mathematical Programming 178, 2019).
 *
 * @param logits [..., n, n], any finite numbers; in float32 entries are right down to e⁻⁸⁷ of the largest of
 *   their row, and columns further apart than that are found in several steps
 * @returns [..., n, n], rows and columns summing to one up to rounding
 * @throws ShapeError when the last two axes differ
 */
export function birkhoffProjection(logits: Tensor): Tensor {
  return applyOne(birkhoffProjectionOperation, [logits], {});
}
