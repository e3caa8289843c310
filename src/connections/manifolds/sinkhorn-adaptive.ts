// Question: what if Sinkhorn-Knopp iterates until the columns sum to one?
//
// Sinkhorn-Knopp whose number of iterations follows the measured error: each matrix stops when no column is off by more
// than a tolerance ε, after at most MOST iterations (ops/sinkhorn-until.ts). A matrix takes as many as it needs, so easy
// tokens cost less than mHC's 20 iterations and hard ones get more.
//
// Degrees of freedom (n − 1)² in the limit. Guarantees rows, sign, a spectral norm ≤ √n. Where a matrix stopped by its
// error every column sum is at most 1 + ε, so the composite backward gain is at most (1 + ε)^L; logits of a deviation of 4
// and more can need more iterations than MOST, so nothing is guaranteed of the columns.
// Start: logits 4 on the diagonal; at n = 4 a diagonal of 0.948, |λ₂| = 0.931.

import { rowCount } from "../../graph/tensor.ts";
import { reshape } from "../../ops/reshape.ts";
import { sinkhornUntil } from "../../ops/sinkhorn-until.ts";
import { identityMatrix, RES_DIAGONAL } from "../initialisation.ts";
import { anyStreams, atMostRoot, type ResidualMap } from "./residual-map.ts";

const MOST = 200;

/** Sinkhorn-Knopp until no column is off by more than the tolerance. */
export function sinkhornAdaptiveMap(tolerance = 1e-5): ResidualMap {
  return {
    size: (n) => n * n,
    project(logits, n) {
      const tokens = rowCount(logits.shape);
      const matrices = reshape(logits, [tokens, n, n]);
      return reshape(sinkhornUntil(matrices, { tolerance, most: MOST }), [tokens, n * n]);
    },
    bias: (n) => identityMatrix(n, RES_DIAGONAL),
    exponential: true,
    guarantee: { rows: true, columns: false, nonNegative: true, spectralNorm: atMostRoot },
    supports: anyStreams,
  };
}
