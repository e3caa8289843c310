// Question: which doubly stochastic matrices are filled in entry by entry?
//
// Doubly stochastic matrices filled in entry by entry, as a transport plan (TBP-mHC, arXiv 2605.21724):
//
//   H_ij = L + (U − L) σ(l_ij)   for i, j < n − 1, row by row;  the last column and row take what is left
//   U = min(r, c_j),  L = max(0, r − Σ_(k>j) c_k)
//
// r is what row i still has to give, c_j what column j still has to receive; both start at one. Within
// [L, U] the rest can always be completed. Every doubly stochastic matrix is reached, permutations as limits.
//
// Degrees of freedom (n − 1)², by as many logits. Guarantees rows, columns, sign, spectral norm 1, without
// iteration; but the entries depend on each other in turn, and the gradient has kinks where a bound changes.
// Start: a diagonal of 0.95, equal entries off it; at n = 4 |λ₂| = 0.933.

import { add } from "../../ops/elementwise.ts";
import { fill } from "../../ops/fill.ts";
import { rowCount, type Tensor } from "../../graph/tensor.ts";
import { concat } from "../../ops/concat.ts";
import { multiply, relu, sigmoid, subtract } from "../../ops/elementwise.ts";
import { slice } from "../../ops/slice.ts";
import { logit } from "../initialisation.ts";
import { anyStreams, atMostOne, IDENTITY_WEIGHT, matrixOf, type ResidualMap } from "./residual-map.ts";

/** A transport plan from rows to columns of mass one. */
export const transport: ResidualMap = {
  size: (n) => (n - 1) ** 2,
  project(logits, n) {
    const whole = (mass: number): Tensor => fill([rowCount(logits.shape), 1], mass);
    const shares = sigmoid(logits);
    const columns = Array.from({ length: n }, () => whole(1));
    const entries: Tensor[] = [];
    for (let i = 0; i < n - 1; i++) {
      let row = whole(1);
      let later = whole(n - i);
      for (let j = 0; j < n - 1; j++) {
        const column = columns[j]!;
        later = subtract(later, column);
        const lower = relu(subtract(row, later));
        const upper = subtract(row, relu(subtract(row, column)));
        const entry = add(lower, multiply(subtract(upper, lower), slice(shares, 1, i * (n - 1) + j, 1)));
        entries.push(entry);
        row = subtract(row, entry);
        columns[j] = subtract(column, entry);
      }
      entries.push(row);
      columns[n - 1] = subtract(columns[n - 1]!, row);
    }
    return concat([...entries, ...columns], 1);
  },
  bias(n) {
    const target = (i: number, j: number): number => (i === j ? IDENTITY_WEIGHT : (1 - IDENTITY_WEIGHT) / (n - 1));
    /** The mass of the target from row i and column j on, up to row and column `to`. */
    const mass = (i: number, j: number, toRow: number, toColumn: number): number =>
      matrixOf(toRow - i, toColumn - j, (row, column) => target(i + row, j + column)).reduce((a, b) => a + b, 0);
    return matrixOf(n - 1, n - 1, (i, j) => {
      const [row, column] = [mass(i, j, i + 1, n), mass(i, j, n, j + 1)];
      const lower = Math.max(0, row - mass(i, j + 1, n, n));
      return logit((target(i, j) - lower) / (Math.min(row, column) - lower));
    });
  },
  guarantee: { rows: true, columns: true, nonNegative: true, spectralNorm: atMostOne },
  supports: anyStreams,
};
