// Question: what if Sinkhorn-Knopp iterates until the columns sum to one?
//
// Sinkhorn-Knopp whose number of iterations follows the measured error: each matrix stops when no column is off by more
// than a tolerance ε, after at most 200 iterations (ops/sinkhorn-until.ts). A matrix takes as many as it needs, so easy
// tokens cost less than mHC's 20 iterations and hard ones get more.
//
// Degrees of freedom (n − 1)² in the limit. Guarantees rows, sign, a spectral norm ≤ √n. Where a matrix stopped by its
// error every column sum is at most 1 + ε, so the composite backward gain is at most (1 + ε)^L; logits of a deviation
// of 2 and more can need more iterations, so nothing is guaranteed of the columns.
// Start: logits 4 on the diagonal; at n = 4 a diagonal of 0.948, |λ₂| = 0.931.

import { given } from "../../basics/given.ts";
import { rowCount } from "../../graph/tensor.ts";
import { reshape } from "../../ops/reshape.ts";
import { sinkhornUntil } from "../../ops/sinkhorn-until.ts";
import type { ResidualMap } from "./residual-map.ts";
import { sinkhornMap } from "./sinkhorn.ts";

/** Sinkhorn-Knopp until no column is off by more than the tolerance, that of sinkhornUntil by default. */
export function sinkhornAdaptiveMap(tolerance?: number): ResidualMap {
  return {
    ...sinkhornMap(),
    project(logits, n) {
      const tokens = rowCount(logits.shape);
      return reshape(sinkhornUntil(reshape(logits, [tokens, n, n]), given({ tolerance })), [tokens, n * n]);
    },
  };
}
