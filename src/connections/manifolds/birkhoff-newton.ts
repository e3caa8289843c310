// Question: which doubly stochastic matrix is nearest, exactly?
//
// Doubly stochastic matrices by exact entropic projection: exp(L) with rows and columns scaled until all of them
// sum to one, up to rounding (mHC-proj, arXiv 2606.07574). This is the limit of `sinkhorn`, computed by Newton's
// method on the dual (ops/birkhoff-projection.ts), for logits of any size.
//
// Degrees of freedom (n − 1)², by n² logits: adding a number to a row or a column changes nothing. Guarantees
// rows, columns, sign, spectral norm 1.
// Start: logits 4 on the diagonal; at n = 4 a diagonal of 0.948, |λ₂| = 0.931.

import { rowCount } from "../../graph/tensor.ts";
import { birkhoffProjection } from "../../ops/birkhoff-projection.ts";
import { reshape } from "../../ops/reshape.ts";
import { identityMatrix, RES_DIAGONAL } from "../initialisation.ts";
import { anyStreams, atMostOne, type ResidualMap } from "./residual-map.ts";

/** H = diag(e^u) exp(L) diag(e^v), rows and columns summing to one. */
export const birkhoffNewton: ResidualMap = {
  size: (n) => n * n,
  project(logits, n) {
    const tokens = rowCount(logits.shape);
    return reshape(birkhoffProjection(reshape(logits, [tokens, n, n])), [tokens, n * n]);
  },
  bias: (n) => identityMatrix(n, RES_DIAGONAL),
  exponential: true,
  guarantee: { rows: true, columns: true, nonNegative: true, spectralNorm: atMostOne },
  supports: anyStreams,
};
