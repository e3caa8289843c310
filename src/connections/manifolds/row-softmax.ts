// Question: what if only the rows of H_res sum to one?
//
// Row-stochastic matrices: H_i = softmax(L_i) for every row i. The half of Sinkhorn-Knopp that bounds the
// forward gain: products of such matrices are such matrices, of spectral norm at most √n for any depth.
//
// Degrees of freedom n(n − 1). Guarantees rows, sign, spectral norm ≤ √n; columns are free, so the
// backward pass may favour some streams.
// Start: logits 4 on the diagonal; at n = 4 a diagonal of 0.948, |λ₂| = 0.931.

import { rowCount } from "../../graph/tensor.ts";
import { reshape } from "../../ops/reshape.ts";
import { softmax } from "../../ops/softmax.ts";
import { identityMatrix, RES_DIAGONAL } from "../initialisation.ts";
import { anyStreams, atMostRoot, type ResidualMap } from "./residual-map.ts";

/** H_ij = e^(L_ij) / Σ_k e^(L_ik). */
export const rowSoftmax: ResidualMap = {
  size: (n) => n * n,
  project: (logits, n) =>
    reshape(softmax(reshape(logits, [rowCount(logits.shape), n, n])), [rowCount(logits.shape), n * n]),
  bias: (n) => identityMatrix(n, RES_DIAGONAL),
  exponential: true,
  guarantee: { rows: true, columns: false, nonNegative: true, spectralNorm: atMostRoot },
  supports: anyStreams,
};
