// Question: what if every stream has only a gate?
//
// A gate for every stream: H = diag σ(l) (Hyperloop transformers, arXiv 2604.21254). Streams do not mix.
//
// Degrees of freedom n. Guarantees non-negative entries and spectral norm < 1; rows and columns sum to
// less than one, so a stream forgets unless its gate is saturated.
// Start: l = 4, a diagonal of 0.982, |λ₂| = 0.982.

import { constant } from "../../graph/state.ts";
import { sigmoid } from "../../ops/elementwise.ts";
import { matmul } from "../../ops/matmul.ts";
import { RES_DIAGONAL } from "../initialisation.ts";
import { anyStreams, atMostOne, matrixOf, type ResidualMap } from "./residual-map.ts";

/** H = diag σ(l). */
export const diagonal: ResidualMap = {
  size: (n) => n,
  project: (logits, n) =>
    matmul(
      sigmoid(logits),
      constant(
        matrixOf(n, n * n, (k, at) => (at === k * (n + 1) ? 1 : 0)),
        [n, n * n],
      ),
    ),
  bias: (n) => Array<number>(n).fill(RES_DIAGONAL),
  guarantee: { rows: false, columns: false, nonNegative: true, spectralNorm: atMostOne },
  supports: anyStreams,
};
