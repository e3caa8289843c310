// Question: which matrices does Sinkhorn-Knopp give?
//
// Doubly stochastic matrices by Sinkhorn-Knopp, the choice of mHC (Eq. 9, arXiv 2512.24880): exp(L), then
// columns and rows normalised in turn, T = 20 times, rows last.
//
// Degrees of freedom (n − 1)² in the limit. Guarantees rows, sign, and, as for any row-stochastic matrix, a
// spectral norm ≤ √n. Columns are only close to one: within 2e-6 in 99 of 100 cases for logits of deviation 1,
// within percents for deviation 4; then the spectral norm exceeds 1 by as much.
// Start: logits 4 on the diagonal; at n = 4 a diagonal of 0.948, |λ₂| = 0.931.

import { rowCount } from "../../graph/tensor.ts";
import { reshape } from "../../ops/reshape.ts";
import { sinkhorn as normalise } from "../../ops/sinkhorn.ts";
import { identityMatrix, RES_DIAGONAL } from "../initialisation.ts";
import { anyStreams, atMostRoot, type ResidualMap } from "./residual-map.ts";

/** Sinkhorn-Knopp of T iterations. */
export function sinkhornMap(iterations = 20): ResidualMap {
  return {
    size: (n) => n * n,
    project: (logits, n) =>
      reshape(normalise(reshape(logits, [rowCount(logits.shape), n, n]), { iterations }), [
        rowCount(logits.shape),
        n * n,
      ]),
    bias: (n) => identityMatrix(n, RES_DIAGONAL),
    exponential: true,
    guarantee: { rows: true, columns: false, nonNegative: true, spectralNorm: atMostRoot },
    supports: anyStreams,
  };
}
