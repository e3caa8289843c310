// Question: by how much must the columns of a row-stochastic matrix P shift against each other?
//
// The columns are the nodes of a graph. Two columns are tied by the rows in which both have weight:
//
//   w_jk = Σ_i P_ij P_ik   (j ≠ k),     S = diag(Pᵀ1) − PᵀP,     S_jj = Σ_k w_jk,  S_jk = −w_jk
//
// S is the Schur complement of the 2n equations of a doubly stochastic scaling when the row factors are
// eliminated, and the Hessian of its dual. It is a Laplacian: constants are its null space, so one shift
// is zero. The right-hand side is given as flows along the ties, f_jk = −f_kj: column j wants Σ_k f_jk.
//
// Eliminating column k ties its neighbours to each other, as when a star of resistors is replaced by a mesh:
//
//   w_ij ← w_ij + w_ik w_kj / d_k,     f_ij ← f_ij + (f_ik w_kj + w_ik f_kj) / d_k,     d_k = Σ_j w_kj
//
// Weights are only added and multiplied (Grassmann, Taksar and Heyman 1985), and a flow that is a mean of
// differences, |f| ≤ γ w, stays one. So no digit is lost even if P is nearly a permutation, S is nearly zero, and
// groups of columns are tied to each other by only 10⁻²⁰ of the weights within them.

import { lastAxis, type Tensor, Values } from "../graph/tensor.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { concat } from "./concat.ts";
import { add, divide, multiply, negate, shift } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { broadcastLast, sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { select } from "./select.ts";
import { slice } from "./slice.ts";

/** A weight below this counts as zero: nothing ties such columns together. */
const NO_WEIGHT = 1e-280;

/**
 * w_jk = Σ_i P_ij P_ik. The diagonal is not used.
 *
 * @param P n × n, rows summing to one
 */
export function columnWeights(P: Values): Values {
  const n = lastAxis(P.shape);
  const w = new Values([n, n]);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      for (let k = 0; k < n; k++) w.add(j, k, P.at(i, j) * P.at(i, k));
    }
  }
  return w;
}

/**
 * Solve Σ_k w_jk (x_j − x_k) = Σ_k f_jk with x = 0 at the last column.
 *
 * @param w n × n weights; overwritten
 * @param f n × n flows, antisymmetric; overwritten
 * @param excess how far a column goes beyond the mean of its neighbours, given what it wants, Σ_j f_kj, and d_k
 * @returns x [n]
 */
export function solveColumns(
  w: Values,
  f: Values,
  excess: (wanted: number, total: number) => number = (wanted, total) => wanted / total,
): Values {
  const n = lastAxis(w.shape);
  const d = new Values([n]);
  for (let k = 0; k < n - 1; k++) {
    for (let j = k + 1; j < n; j++) d.add(k, w.at(k, j));
    d.set(k, Math.max(d.at(k), NO_WEIGHT));
    for (let i = k + 1; i < n; i++) {
      const share = w.at(k, i) / d.at(k);
      const flow = -f.at(k, i) / d.at(k);
      for (let j = k + 1; j < n; j++) {
        w.add(i, j, share * w.at(k, j));
        f.add(i, j, flow * w.at(k, j) + share * f.at(k, j));
      }
    }
  }
  const x = new Values([n]);
  for (let k = n - 2; k >= 0; k--) {
    let wanted = 0;
    for (let j = k + 1; j < n; j++) {
      wanted += f.at(k, j);
      x.add(k, (w.at(k, j) / d.at(k)) * x.at(j));
    }
    x.add(k, excess(wanted, d.at(k)));
  }
  return x;
}

/**
 * The same by operations, for composed forms and for any number of graphs: w, f [..., n, n] → x [..., n].
 * Columns are eliminated one after the other; the matrices of the later columns remain.
 */
export function composedColumns(w: Tensor, f: Tensor): Tensor {
  const axis = w.shape.length - 1;
  const n = lastAxis(w.shape);
  if (n === 1) return fill(w.shape.slice(0, -1), 0);
  const leading = w.shape.slice(0, -2);
  // Row k beyond column k, [..., 1, n − 1], and d_k, [...].
  const [w_k, f_k] = [w, f].map((matrix) => slice(slice(matrix, axis - 1, 0, 1), axis, 1, n - 1)) as [Tensor, Tensor];
  const total = reshape(sumLast(w_k), leading);
  const d = select(shift(total, -NO_WEIGHT), total, fill(leading, NO_WEIGHT));
  const perD = (row: Tensor): Tensor => divide(row, reshape(broadcastLast(d, n - 1), row.shape));
  const [share, flow] = [perD(w_k), negate(perD(f_k))];
  const rest = (matrix: Tensor): Tensor => slice(slice(matrix, axis - 1, 1, n - 1), axis, 1, n - 1);
  const outer = (a: Tensor, b: Tensor): Tensor => batchedMatmul(a, b, { transposeA: true });
  const x = composedColumns(add(rest(w), outer(share, w_k)), add(rest(f), add(outer(flow, w_k), outer(share, f_k))));
  // x_k = Σ_j w_kj x_j / d_k + Σ_j f_kj / d_k
  const beyond = reshape(share, x.shape);
  const first = add(sumLast(multiply(beyond, x)), sumLast(negate(reshape(flow, x.shape))));
  return concat([reshape(first, [...leading, 1]), x], leading.length);
}
