// Question: what if nothing constrains H_res?
//
// No constraint: H = L, as in Hyper-Connections (arXiv 2409.19606) without their tanh.
//
// Degrees of freedom n². Guarantees nothing: a product over many layers can grow without bound.
// Start: the identity exactly, |λ₂| = 1.

import { identityMatrix } from "../initialisation.ts";
import { anyStreams, type ResidualMap, unbounded } from "./residual-map.ts";

/** H = L. */
export const unconstrained: ResidualMap = {
  size: (n) => n * n,
  project: (logits) => logits,
  bias: (n) => identityMatrix(n, 1),
  guarantee: { rows: false, columns: false, nonNegative: false, spectralNorm: unbounded },
  supports: anyStreams,
};
