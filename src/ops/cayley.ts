// Question: which rotation does the Cayley transform make of a skew-symmetric matrix?
//
//   Q = (I − A)(I + A)⁻¹ = 2X − I,   X = (I + A)⁻¹,   A = Θ − Θᵀ, Θ the logits above the diagonal
//
// Every logit is allowed: xᵀ(I + A)x = |x|², so I + A is never singular and Gauss-Jordan never meets a zero
// pivot (Schur complements have the same property). But without pivoting a pivot is 1 + a² for logits a, and the 1 is
// lost when they are large. One step of Newton's iteration X ← 2X − X(I + A)X recovers some digits; the reference takes
// the largest of a column as its pivot, as kernels do for large logits. Beyond 10¹⁰ float64 cannot tell either: Q is NaN.
//
// Backward: dX = −X dA X, so with G = dQ
//   dA = −2 XᵀGXᵀ = −½ (Q + I)ᵀ G (Q + I)ᵀ,     dlogit_(ij) = dA_ij − dA_ji
// This takes two products of m × m matrices, and needs only the result.
//
// Shapes: logits [..., m(m − 1)/2], row-major above the diagonal; Q [..., m, m].

import { expectWhole } from "../basics/ranges.ts";
import { constant } from "../graph/state.ts";
import { apply, lastAxis, type Operation, rowCount, type Shape, type Tensor, Values } from "../graph/tensor.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { add, multiply, reciprocal, scale, subtract } from "./elementwise.ts";
import { matmul, multiplyMatrices } from "./matmul.ts";
import { broadcast, broadcastLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";
import { slice } from "./slice.ts";

export interface CayleyAttributes {
  /** m, the dimensions that are rotated. */
  readonly dimensions: number;
}

/** Of larger logits float64 has lost the 1 in 1 + a². */
const MOST_LOGIT = 1e10;

/** How many logits a rotation of m dimensions has. */
export function rotationSize(m: number): number {
  return (m * (m - 1)) / 2;
}

export const cayleyOperation: Operation<["logits"], ["q"], CayleyAttributes> = {
  name: "cayley",
  inputs: ["logits"],
  outputs: ["q"],
  infer({ logits }, { dimensions: m }) {
    expectShapes(
      m >= 2 && lastAxis(logits.shape) === rotationSize(m),
      "cayley",
      { logits },
      `${m} dimensions need m(m − 1)/2 = ${rotationSize(m)} logits; a rotation has at least two dimensions.`,
    );
    return { q: { shape: [...logits.shape.slice(0, -1), m, m], dtype: "f32" } };
  },
  gradient: ({ q }, { q: g }, attributes) => ({ logits: apply(cayleyBackwardOperation, { q, g }, attributes).dlogits }),
  flops: ({ logits }, { dimensions: m }) => 6 * m ** 3 * rowCount(logits.shape),
  reference({ logits }, { q }, { dimensions: m }) {
    for (let row = 0; row < rowCount(logits.shape); row++) {
      const onePlusA = identity(m);
      forPairs(m, (i, j, k) => {
        onePlusA.set(i, j, logits.at(row, k));
        onePlusA.set(j, i, -logits.at(row, k));
      });
      const X = onePlusA.data.every((entry) => Math.abs(entry) <= MOST_LOGIT)
        ? inverse(onePlusA)
        : new Values([m, m], new Float64Array(m * m).fill(NaN));
      for (let i = 0; i < m; i++) for (let j = 0; j < m; j++) q.set(row * m + i, j, 2 * X.at(i, j) - (i === j ? 1 : 0));
    }
  },
  compose({ logits }, { dimensions: m }) {
    const rows = rowCount(logits.shape);
    const A = matmul(reshape(logits, [rows, lastAxis(logits.shape)]), skewBasis(m));
    const unit = composedIdentity([rows, m, m]);
    const X = composedInverse(add(unit, reshape(A, unit.shape)));
    return { q: reshape(subtract(scale(X, 2), unit), [...logits.shape.slice(0, -1), m, m]) };
  },
};

export const cayleyBackwardOperation: Operation<["q", "g"], ["dlogits"], CayleyAttributes> = {
  name: "cayleyBackward",
  inputs: ["q", "g"],
  outputs: ["dlogits"],
  infer: ({ q }, { dimensions: m }) => ({
    dlogits: { shape: [...q.shape.slice(0, -2), rotationSize(m)], dtype: "f32" },
  }),
  flops: ({ dlogits }, { dimensions: m }) => 4 * m ** 3 * rowCount(dlogits.shape),
  reference({ q, g }, { dlogits }, { dimensions: m }) {
    for (let row = 0; row < rowCount(dlogits.shape); row++) {
      const Q = q.matrix(row);
      const twiceXT = new Values([m, m]);
      for (let i = 0; i < m; i++) for (let j = 0; j < m; j++) twiceXT.set(i, j, Q.at(j, i) + (i === j ? 1 : 0));
      const dA = product(product(twiceXT, g.matrix(row)), twiceXT);
      forPairs(m, (i, j, k) => dlogits.set(row, k, -0.5 * (dA.at(i, j) - dA.at(j, i))));
    }
  },
  compose({ q, g }, { dimensions: m }) {
    const rows = rowCount(q.shape) / m;
    const unit = composedIdentity([rows, m, m]);
    const [twiceX, G] = [add(reshape(q, unit.shape), unit), reshape(g, unit.shape)];
    const dA = batchedMatmul(batchedMatmul(twiceX, G, { transposeA: true }), twiceX, { transposeB: true });
    const dlogits = matmul(reshape(scale(dA, -0.5), [rows, m * m]), skewBasis(m), { transposeB: true });
    return { dlogits: reshape(dlogits, [...q.shape.slice(0, -2), rotationSize(m)]) };
  },
};

/** Every pair i < j of m, row by row, with its number. */
function forPairs(m: number, visit: (i: number, j: number, k: number) => void): void {
  let k = 0;
  for (let i = 0; i < m; i++) for (let j = i + 1; j < m; j++) visit(i, j, k++);
}

function identity(m: number): Values {
  const unit = new Values([m, m]);
  for (let i = 0; i < m; i++) unit.set(i, i, 1);
  return unit;
}

/** M⁻¹ by Gauss-Jordan with the largest of a column as its pivot, and a step of Newton's iteration. */
function inverse(M: Values): Values {
  const m = lastAxis(M.shape);
  const rows = Array.from({ length: m }, (_, i) =>
    Array.from({ length: 2 * m }, (_column, j) => (j < m ? M.at(i, j) : Number(j === m + i))),
  );
  for (let k = 0; k < m; k++) {
    const below = rows.slice(k).map((row) => Math.abs(row[k]!));
    const best = k + Math.max(0, below.indexOf(Math.max(...below)));
    const chosen = rows[best]!;
    rows[best] = rows[k]!;
    const pivotRow = chosen.map((value) => value / chosen[k]!);
    rows.forEach((row, i) => (rows[i] = i === k ? pivotRow : row.map((value, j) => value - row[k]! * pivotRow[j]!)));
  }
  const X = new Values([m, m], Float64Array.from(rows.flatMap((row) => row.slice(m))));
  const correction = product(X, product(M, X));
  X.each((at) => 2 * X.at(at) - correction.at(at));
  return X;
}

function product(A: Values, B: Values): Values {
  const C = new Values(A.shape);
  multiplyMatrices(A, B, C, { transposeA: false, transposeB: false });
  return C;
}

/** The skew-symmetric matrices whose coefficients the logits are, as rows: [m(m − 1)/2, m²]. */
function skewBasis(m: number): Tensor {
  const basis = new Values([rotationSize(m), m * m]);
  forPairs(m, (i, j, k) => {
    basis.set(k, i * m + j, 1);
    basis.set(k, j * m + i, -1);
  });
  return constant([...basis.data], basis.shape);
}

function composedIdentity(shape: Shape): Tensor {
  const m = lastAxis(shape);
  return broadcast(constant([...identity(m).data], [m, m]), shape);
}

/** `inverse` by operations, of [rows, m, m]: step k of Gauss-Jordan subtracts (c − e)(r + e)ᵀ / x_kk, where c and r are column and row k. */
function composedInverse(M: Tensor): Tensor {
  const m = lastAxis(M.shape);
  const axis = M.shape.length - 1;
  const unit = composedIdentity(M.shape);
  let X = M;
  for (let k = 0; k < m; k++) {
    const row = slice(X, axis - 1, k, 1);
    const column = subtract(slice(X, axis, k, 1), slice(unit, axis, k, 1));
    const pivot = reciprocal(slice(row, axis, k, 1));
    const perPivot = multiply(
      add(row, slice(unit, axis - 1, k, 1)),
      reshape(broadcastLast(reshape(pivot, M.shape.slice(0, -2)), m), row.shape),
    );
    X = subtract(X, batchedMatmul(column, perPivot));
  }
  return subtract(scale(X, 2), batchedMatmul(X, batchedMatmul(M, X)));
}

/**
 * The Cayley transform of skew-symmetric matrices: rotations, orthogonal up to rounding for any logits.
 *
 * Source: the orthogonal connections of JPmHC (arXiv 2602.18308), solved exactly.
 *
 * @param logits [..., m(m − 1)/2], the entries of A above the diagonal, row by row
 * @param dimensions m, 2 or more
 * @returns [..., m, m], Q = (I − A)(I + A)⁻¹; the identity for logits of zero
 * @throws ShapeError when the number of logits is not m(m − 1)/2
 */
export function cayley(logits: Tensor, dimensions: number): Tensor {
  expectWhole("cayley", "dimensions", dimensions, 2, 2 ** 20);
  return apply(cayleyOperation, { logits }, { dimensions }).q;
}
