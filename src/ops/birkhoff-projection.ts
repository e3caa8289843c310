// Question: where would Sinkhorn-Knopp end after infinitely many iterations?
//
// It would end at the entropic projection onto the doubly stochastic matrices. This operation computes that projection
// up to rounding (like mHC-proj, arXiv 2606.07574, but with another step rule):
//
//   P = exp(L + u1ᵀ + 1vᵀ) with P1 = 1, Pᵀ1 = 1:   the least Σ P (log P − L) over those matrices
//
// The rows are made to sum to one exactly, P(v) = row softmax of L + 1vᵀ, so only v remains in the dual:
//
//   minimise φ(v) = Σ_i log Σ_j exp(L_ij + v_j) − Σ_j v_j      ∇φ = c − 1, c = P(v)ᵀ1      ∇²φ = S
//
// S is the Laplacian of the columns (column-graph.ts), so a Newton step solves S δ = 1 − c. Far from the solution the
// step must be shortened. φ is self-concordant: along steps of range ρ = max δ − min δ its third derivative is at most
// ρ times its second, and for such functions ln(1 + ρ) in place of ρ always descends (Sun and Tran-Dinh 2019). This
// length also has the right size: if columns are tied only by e^(−gap), δ is about e^gap, and v should move by about
// the gap. Here the elimination shortens every column's excess over its neighbours separately, as it finds it. A group
// of columns that is tied only weakly can then take a long step without holding up the others. Changes that only
// rounding asks for are not made. The last steps multiply P itself by e^δ, because v, a number of the size of the
// logits, is too coarse.
//
// Backward: entropic-backward.ts, which is exact because P is. Derivation: docs/derivations/manifolds.md.
// Shapes: L, P [..., n, n].

import { apply, lastAxis, type Operation, sizeOf, type Tensor, Values } from "../graph/tensor.ts";
import { columnWeights, solveColumns } from "./column-graph.ts";
import { entropicBackwardOperation } from "./entropic-backward.ts";
import { expectShapes } from "./shapes.ts";

/** If no column is off by more than this, v is close enough, and the steps multiply P from then on. */
const NEAR = 1e-2;
/** The size of a flow that rounding alone can cause. Columns count as right if they are off by at most n + 2 of these. */
const ROUNDING = 2 ** -51;
/** Hardly ever reached: at n = 8, normal logits of deviation 1, 10 and 200 take 5, 11 and 50 steps, at most a hundred. */
const MOST_STEPS = 400;
/** P is never multiplied by more than e to the power of this. */
const LONGEST = 20;
/** Logarithm of the smallest entry of P, before its row is normalised. */
const LEAST = -600;

/** The doubly stochastic matrix diag(e^u) exp(L) diag(e^v). */
export function projectEntropically(logits: Float64Array, n: number): Float64Array {
  return projection(new Values([n, n], logits)).data;
}

function projection(L: Values): Values {
  const n = lastAxis(L.shape);
  const v = new Values([n]);
  let P = shiftedSoftmax(L, v);
  let step = 0;
  for (; step < MOST_STEPS && columnError(P) > NEAR; step++) {
    const delta = newtonStep(P);
    v.each((j) => v.at(j) + delta.at(j));
    P = shiftedSoftmax(L, v);
  }
  for (; step < MOST_STEPS && columnError(P) > ROUNDING * (n + 2); step++) {
    const delta = newtonStep(P);
    P.each((at) => P.at(at) * Math.exp(Math.max(-LONGEST, Math.min(LONGEST, delta.at(at % n)))));
    normaliseRows(P);
  }
  return P;
}

/** The solution δ of S δ = 1 − c, shortened. */
function newtonStep(P: Values): Values {
  const n = lastAxis(P.shape);
  const c = columnSums(P);
  // Any flows with these sums will do. These spread them evenly.
  const flows = new Values([n, n]);
  flows.each((at) => (c.at(at % n) - c.at(Math.floor(at / n))) / n);
  return solveColumns(columnWeights(P), flows, (wanted, total) =>
    Math.abs(wanted) < ROUNDING ? 0 : Math.sign(wanted) * Math.log1p(Math.abs(wanted) / total),
  );
}

/** Row softmax of L + 1vᵀ. Entries are at least e^LEAST before they are divided by their sum. */
function shiftedSoftmax(L: Values, v: Values): Values {
  const n = lastAxis(L.shape);
  const P = new Values([n, n]);
  for (let i = 0; i < n; i++) {
    let highest = -Infinity;
    for (let j = 0; j < n; j++) highest = Math.max(highest, L.at(i, j) + v.at(j));
    for (let j = 0; j < n; j++) P.set(i, j, Math.exp(Math.max(L.at(i, j) + v.at(j) - highest, LEAST)));
  }
  normaliseRows(P);
  return P;
}

function normaliseRows(P: Values): void {
  const n = lastAxis(P.shape);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += P.at(i, j);
    for (let j = 0; j < n; j++) P.set(i, j, P.at(i, j) / sum);
  }
}

function columnSums(P: Values): Values {
  const n = lastAxis(P.shape);
  const sums = new Values([n]);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sums.add(j, P.at(i, j));
  return sums;
}

function columnError(P: Values): number {
  return Math.max(...columnSums(P).data.map((c) => Math.abs(c - 1)));
}

export const birkhoffProjectionOperation: Operation<["logits"], ["p"]> = {
  name: "birkhoffProjection",
  inputs: ["logits"],
  outputs: ["p"],
  infer({ logits }) {
    expectShapes(
      logits.shape.length >= 2 && lastAxis(logits.shape) === logits.shape.at(-2),
      "birkhoffProjection",
      { logits },
      "the last two axes must be a square matrix [n, n].",
    );
    return { p: { shape: logits.shape, dtype: "f32" } };
  },
  gradient: ({ p }, { p: g }) => ({ logits: apply(entropicBackwardOperation, { r: p, g }).dlogits }),
  // The number of steps depends on the logits. It is about seven for a deviation of 4.
  flops: ({ logits }) => 7 * (20 + 2 * lastAxis(logits.shape)) * sizeOf(logits.shape),
  reference({ logits }, { p }) {
    const n = lastAxis(logits.shape);
    for (let at = 0; at < p.size / n ** 2; at++) p.matrix(at).data.set(projection(logits.matrix(at)).data);
  },
};

/**
 * The exact entropic projection onto the doubly stochastic matrices: exp(logits) with rows and columns scaled
 * so that each sums to one. This is the limit of `sinkhorn`, reached by Newton's method. Its gradient is the
 * gradient of the limit.
 *
 * Source: accelerated Birkhoff projection (arXiv 2606.07574), its step shortened as self-concordance
 * allows (Sun and Tran-Dinh, Mathematical Programming 178, 2019).
 *
 * @param logits [..., n, n], any finite numbers. In float32, entries are right down to e⁻⁸⁷ of the largest in
 *   their row; columns that lie further apart than that take several steps
 * @returns [..., n, n], rows and columns summing to one up to rounding
 * @throws ShapeError when the last two axes differ
 */
export function birkhoffProjection(logits: Tensor): Tensor {
  return apply(birkhoffProjectionOperation, { logits }).p;
}
