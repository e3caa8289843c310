// Question: what if each sublayer learns how sharp its mixing is?
//
//   H = diag(eᵘ) exp(L / τ) diag(eᵛ), doubly stochastic to rounding (birkhoff-newton);  τ = 8^(−tanh t)
//
// t is one number of a sublayer, the same for all tokens. A high τ mixes more evenly, a low one chooses permutations;
// τ stays between 1/8 and 8, so neither is ever reached for good.
//
// The set of matrices is that of birkhoff-newton, whatever t: rows and columns sum to one, and products of any number
// of them do too. So both composite gains are exactly 1 at any depth, and every spectral norm is 1. In float32 that holds
// as long as Newton's method settles, for L / τ of a deviation of some thousands.
// Degrees of freedom (n − 1)², by n² logits and t. Start: t = 0, logits 4 on the diagonal.

import { rowCount } from "../../graph/tensor.ts";
import { birkhoffProjection } from "../../ops/birkhoff-projection.ts";
import { exp, multiply, scale, tanh } from "../../ops/elementwise.ts";
import { broadcastLast } from "../../ops/reductions.ts";
import { reshape } from "../../ops/reshape.ts";
import { slice } from "../../ops/slice.ts";
import { identityMatrix, RES_DIAGONAL } from "../initialisation.ts";
import { anyStreams, atMostOne, type ResidualMap } from "./residual-map.ts";

/** The largest τ, and one over the smallest. */
const WIDEST = 8;

/** H of exp(L / τ), τ learned. */
export const learnedTemperature: ResidualMap = {
  size: (n) => n * n + 1,
  fixed: () => 1,
  project(logits, n) {
    const tokens = rowCount(logits.shape);
    const sharpness = exp(scale(tanh(reshape(slice(logits, 1, n * n, 1), [tokens])), Math.log(WIDEST)));
    const sharpened = multiply(slice(logits, 1, 0, n * n), broadcastLast(sharpness, n * n));
    return reshape(birkhoffProjection(reshape(sharpened, [tokens, n, n])), [tokens, n * n]);
  },
  bias: (n) => [...identityMatrix(n, RES_DIAGONAL), 0],
  exponential: true,
  guarantee: { rows: true, columns: true, nonNegative: true, spectralNorm: atMostOne },
  supports: anyStreams,
};
