// Question: what if each sublayer learns how much it mixes at all?
//
// A convex mixture of a doubly stochastic matrix of the token and of all permutations, the identity first:
//
//   H = a_0 D + Σ_k a_k P_k,  a = softmax(w) ∈ R^(1 + n!),  D = birkhoff-newton of the token's logits
//
// w are numbers of a sublayer, the same for all tokens. A sublayer can become the identity (a_1 = 1), a fixed exchange
// of streams, or mHC (a_0 = 1).
//
// Bound. A convex mixture of doubly stochastic matrices is one, and products of them are: both composite gains are
// exactly 1 at any depth, every spectral norm is 1, whatever the weights.
// Degrees of freedom (n − 1)², those of the doubly stochastic matrices, by n² logits of D and 1 + n! weights; n stops at 5.
// Start: a_0 = a_1 = 0.49, logits 4 on the diagonal.

import { constant } from "../../graph/state.ts";
import { rowCount } from "../../graph/tensor.ts";
import { birkhoffProjection } from "../../ops/birkhoff-projection.ts";
import { add, multiply } from "../../ops/elementwise.ts";
import { matmul } from "../../ops/matmul.ts";
import { broadcastLast } from "../../ops/reductions.ts";
import { reshape } from "../../ops/reshape.ts";
import { slice } from "../../ops/slice.ts";
import { softmax } from "../../ops/softmax.ts";
import { identityMatrix, RES_DIAGONAL } from "../initialisation.ts";
import { allPermutations, permutationMatrix, permutations } from "./permutations.ts";
import { atMostOne, type ResidualMap } from "./residual-map.ts";

/** The weight of D and of the identity at the start; the other permutations share the rest. */
const START = 0.49;

/** H = a_0 D + Σ_k a_k P_k. */
export const learnedMixture: ResidualMap = {
  size: (n) => n * n + 1 + allPermutations(n).length,
  fixed: (n) => 1 + allPermutations(n).length,
  project(logits, n) {
    const tokens = rowCount(logits.shape);
    const all = allPermutations(n);
    const D = reshape(birkhoffProjection(reshape(slice(logits, 1, 0, n * n), [tokens, n, n])), [tokens, n * n]);
    const weights = softmax(slice(logits, 1, n * n, 1 + all.length));
    const own = multiply(D, broadcastLast(reshape(slice(weights, 1, 0, 1), [tokens]), n * n));
    const matrices = constant(all.flatMap(permutationMatrix), [all.length, n * n]);
    return add(own, matmul(slice(weights, 1, 1, all.length), matrices));
  },
  bias(n) {
    const count = allPermutations(n).length;
    const others = Array<number>(count - 1).fill(Math.log((1 - 2 * START) / Math.max(1, count - 1)));
    return [...identityMatrix(n, RES_DIAGONAL), Math.log(START), Math.log(START), ...others];
  },
  exponential: true,
  guarantee: { rows: true, columns: true, nonNegative: true, spectralNorm: atMostOne },
  supports: permutations.supports,
};
