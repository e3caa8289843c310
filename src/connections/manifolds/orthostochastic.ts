// Question: which doubly stochastic matrices are squares of rotations?
//
// Doubly stochastic matrices as squared blocks of a rotation (go-mHC, arXiv 2604.02309), s = 2:
//
//   H_ij = (1/s) |Q_ij|²_F,  Q = (I − A)(I + A)⁻¹ a rotation of ns dimensions seen as n × n blocks of s × s
//
// Rows of Q have norm one, so s rows of blocks sum to s; columns likewise. Degrees of freedom (n − 1)², by
// ns(ns − 1)/2 logits (28 at n = 4). Guarantees rows, columns, sign, spectral norm 1.
// Start: at A = 0 the gradient vanishes (H is quadratic in the blocks off the diagonal), so the logits of
// those blocks start at √(0.05 / 8(n − 1)); at n = 4 a diagonal of 0.953, |λ₂| = 0.939.

import { rowCount } from "../../graph/tensor.ts";
import { constant } from "../../graph/state.ts";
import { cayley, rotationSize } from "../../ops/cayley.ts";
import { square } from "../../ops/elementwise.ts";
import { matmul } from "../../ops/matmul.ts";
import { reshape } from "../../ops/reshape.ts";
import { anyStreams, atMostOne, IDENTITY_WEIGHT, matrixOf, type ResidualMap } from "./residual-map.ts";
import { placesAbove } from "./rotation.ts";

/** s, the size of a block. */
const BLOCK = 2;

/** H_ij = |Q_ij|² / s. */
export const orthostochastic: ResidualMap = {
  // One stream has the matrix 1 alone, whatever the rotation.
  size: (n) => (n === 1 ? 0 : rotationSize(BLOCK * n)),
  project(logits, n) {
    const m = BLOCK * n;
    const blockOf = (at: number): number => Math.floor(Math.floor(at / m) / BLOCK) * n + Math.floor((at % m) / BLOCK);
    const average = matrixOf(m * m, n * n, (at, block) => (blockOf(at) === block ? 1 / BLOCK : 0));
    return matmul(
      reshape(square(cayley(logits, m)), [rowCount(logits.shape), m * m]),
      constant(average, [m * m, n * n]),
    );
  },
  bias(n) {
    if (n === 1) return [];
    const across = Math.sqrt((1 - IDENTITY_WEIGHT) / (8 * (n - 1)));
    return placesAbove(BLOCK * n).map(([i, j]) => (Math.floor(i / BLOCK) === Math.floor(j / BLOCK) ? 0 : across));
  },
  guarantee: { rows: true, columns: true, nonNegative: true, spectralNorm: atMostOne },
  supports: anyStreams,
};
