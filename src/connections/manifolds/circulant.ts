// Question: which matrices mix the streams by shifting them in a circle?
//
// Circulant doubly stochastic matrices (C-mHC), and a form that never forgets:
//
//   circulant        H_ij = c[(j − i) mod n],  c = softmax(l)
//   leaky circulant  H = (1 − γ) I + γ C,      C circulant
//
// Degrees of freedom n − 1, by n logits. Guarantees rows, columns, sign, spectral norm 1. Circulants
// commute, so in a product over layers the order does not matter. The leaky form's smallest singular
// value is at least 1 − 2γ; γ = β/2L keeps the product over L sublayers above e^(−β − β²/L).
// Start: circulant c₀ = 0.95, |λ₂| = 0.933 at n = 4; leaky l = 0, a diagonal of 1 − γ + γ/n, |λ₂| = 1 − γ.

import { add } from "../../ops/elementwise.ts";
import { constant } from "../../graph/state.ts";
import { rowCount, type Tensor } from "../../graph/tensor.ts";
import { scale } from "../../ops/elementwise.ts";
import { matmul } from "../../ops/matmul.ts";
import { broadcast } from "../../ops/reductions.ts";
import { softmax } from "../../ops/softmax.ts";
import { identityMatrix } from "../initialisation.ts";
import { anyStreams, atMostOne, IDENTITY_WEIGHT, matrixOf, mostlyFirst, type ResidualMap } from "./residual-map.ts";

/** H_ij = softmax(l)[(j − i) mod n]. */
export const circulant: ResidualMap = {
  size: (n) => n,
  project: shifts,
  bias: (n) => mostlyFirst(n, IDENTITY_WEIGHT),
  guarantee: { rows: true, columns: true, nonNegative: true, spectralNorm: atMostOne },
  supports: anyStreams,
};

/** γ = β/2L for β = 1 and L = 8 sublayers. */
const LEAK = 1 / 16;

/** H = (1 − γ) I + γ C, C circulant. */
export function leakyCirculant(leak: number = LEAK): ResidualMap {
  return {
    ...circulant,
    project(logits, n) {
      const kept = broadcast(constant(identityMatrix(n, 1 - leak), [n * n]), [rowCount(logits.shape), n * n]);
      return add(kept, scale(shifts(logits, n), leak));
    },
    bias: (n) => Array<number>(n).fill(0),
  };
}

function shifts(logits: Tensor, n: number): Tensor {
  const cyclic = matrixOf(n, n * n, (k, at) => (((at % n) - Math.floor(at / n) + n) % n === k ? 1 : 0));
  return matmul(softmax(logits), constant(cyclic, [n, n * n]));
}
