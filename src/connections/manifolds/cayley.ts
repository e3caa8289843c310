// Question: which rotations does the Cayley transform give?
//
// Rotations by the Cayley transform (JPmHC, arXiv 2602.18308), exact, where the paper uses two iterations:
//
//   H = (I − A)(I + A)⁻¹,  A = Θ − Θᵀ, Θ the logits above the diagonal
//
// Degrees of freedom n(n − 1)/2. Guarantees H Hᵀ = I: spectral norm 1, and nothing is ever lost, forward
// or backward. Entries may be negative; rows and columns do not sum to one.
// Start: l = 0, the identity exactly, |λ₂| = 1.

import { rowCount } from "../../graph/tensor.ts";
import { cayley, rotationSize } from "../../ops/cayley.ts";
import { reshape } from "../../ops/reshape.ts";
import { anyStreams, atMostOne, type ResidualMap } from "./residual-map.ts";

/** H = (I − A)(I + A)⁻¹. */
export const cayleyMap: ResidualMap = {
  size: rotationSize,
  project: (logits, n) => reshape(cayley(logits, n), [rowCount(logits.shape), n * n]),
  bias: (n) => Array<number>(rotationSize(n)).fill(0),
  guarantee: { rows: false, columns: false, nonNegative: false, spectralNorm: atMostOne },
  supports: anyStreams,
};
