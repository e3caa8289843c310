// Question: what if streams are not mixed at all?
//
// No mixing: H = I (identity HC, "iHC": Chimera, arXiv 2607.28611). Only the read and the write are learned.
//
// Degrees of freedom 0. Guarantees everything: rows, columns, sign, spectral norm 1; |λ₂| = 1 for ever.

import { constant } from "../../graph/state.ts";
import { rowCount, type Tensor } from "../../graph/tensor.ts";
import { broadcast } from "../../ops/reductions.ts";
import { identityMatrix } from "../initialisation.ts";
import { anyStreams, atMostOne, type ResidualMap } from "./residual-map.ts";

/** H = I. */
export const identity: ResidualMap = {
  size: () => 0,
  project: ({ shape }, n) => identities(rowCount(shape), n),
  bias: () => [],
  guarantee: { rows: true, columns: true, nonNegative: true, spectralNorm: atMostOne },
  supports: anyStreams,
};

/** The identity for every token: [T, n·n]. */
export function identities(tokens: number, n: number): Tensor {
  return broadcast(constant(identityMatrix(n, 1), [n * n]), [tokens, n * n]);
}
