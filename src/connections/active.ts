// Question: how are many streams kept while a sublayer mixes and writes only a few of them?
//
// After xHC (Expanded Hyper-Connections, arXiv 2607.14530): n streams, all of them read, k of them mixed and written.
// mHC predicts n² logits of H_res from nC numbers, n³C multiplications a token; with k active streams they are k² nC.
//
//   H_pre = σ(l_pre)                        n weights: the sublayer reads all streams
//   s = σ(l_route)                          a score for each stream but the first f = ⌊k/2⌋, which are always active
//   a_1 … a_k = 0 … f − 1, and the k − f streams with the highest scores, the highest first
//   R = map(l_res)                          k × k, by default Sinkhorn-Knopp
//   H_res = I + Sᵀ (R − I) S,  S_jc = 1 where c = a_j       the active streams are mixed, the others stay
//   H_post = (n/k) Sᵀ w,  w_j = 2σ(l_post)_j, times 2 s_(a_j) where the stream was chosen
//
// The scores have no other gradient than by their factor 2s, which is one at the start. The factor n/k keeps what a
// sublayer adds to the mean of the streams as large as with n active ones.
//
// Bound. H_res has the rows and columns of R, and those of I: it sums to one, has no negative entry and a spectral norm of
// at most one wherever R does, so that the composite gains have the bounds of the map (manifolds/residual-map.ts).
//
// What is not here: the paper also writes convolutions over earlier tokens ("temporal features"), whose formulas its
// abstract, all that was at hand, does not give; how its scores are trained is not known either, so the above is ours.
// Shapes: p [..., n + k + S + n − f], S = size(k) logits; alpha [4], bias as p → coefficients [..., n² + 2n].

import { constant } from "../graph/state.ts";
import { rowCount, type Tensor } from "../graph/tensor.ts";
import { batchedMatmul } from "../ops/batched-matmul.ts";
import { concat } from "../ops/concat.ts";
import { add, multiply, scale, sigmoid, subtract } from "../ops/elementwise.ts";
import { chooseExperts } from "../ops/expert-choice.ts";
import { fill } from "../ops/fill.ts";
import { oneHot } from "../ops/masks.ts";
import { broadcast } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { slice } from "../ops/slice.ts";
import type { MapParameters } from "./composed-coefficients.ts";
import { identityMatrix, oneHot as oneHotRow } from "./initialisation.ts";
import { identities } from "./manifolds/identity.ts";
import type { ResidualMap } from "./manifolds/residual-map.ts";
import { perGroup } from "./per-group.ts";
import type { Decided } from "./streams.ts";

/** How many of k active streams are always the same ones, the first. */
export const fixedStreams = (k: number): number => Math.floor(k / 2);

/** How many logits each group has: pre, post, res, route. */
export function activeGroups(map: ResidualMap, n: number, k: number): readonly [number, number, number, number] {
  return [n, k, map.size(k), n - fixedStreams(k)];
}

/**
 * The coefficients of n streams of which k are mixed and written.
 *
 * @param p [..., rows] what φ read off the streams, in the groups of `activeGroups`
 * @param parameters alpha [4], a scale for each group; bias [rows]
 * @returns coefficients [..., n² + 2n], pre | post | res, and the logits of R, [T, S]
 */
export function activeCoefficients(
  p: Tensor,
  { alpha, bias }: MapParameters,
  map: ResidualMap,
  n: number,
  k: number,
): Decided {
  const groups = activeGroups(map, n, k);
  const [tokens, rows] = [rowCount(p.shape), groups.reduce((sum, size) => sum + size, 0)];
  const all: readonly [number, number] = [tokens, rows];
  const scaled = multiply(reshape(p, all), broadcast(perGroup(alpha, groups), all));
  const logits = add(scaled, broadcast(bias, all));
  const [pre, post, res, route] = groups.map((size, group) =>
    size === 0
      ? undefined
      : slice(
          logits,
          1,
          groups.slice(0, group).reduce((sum, before) => sum + before, 0),
          size,
        ),
  );
  const { S_TKN, factor_TK } = chosenStreams(sigmoid(route!), n, k);
  const R = reshape(res ? map.project(res, k) : identities(tokens, k), [tokens, k, k]);
  const one = broadcast(constant(identityMatrix(k, 1), [k, k]), [tokens, k, k]);
  const moved = batchedMatmul(S_TKN, batchedMatmul(subtract(R, one), S_TKN), { transposeA: true });
  const H = add(reshape(moved, [tokens, n * n]), identities(tokens, n));
  const written = multiply(scale(sigmoid(post!), (2 * n) / k), factor_TK);
  const H_post = batchedMatmul(reshape(written, [tokens, 1, k]), S_TKN);
  const coefficients = concat([sigmoid(pre!), reshape(H_post, [tokens, n]), H], 1);
  return {
    coefficients: reshape(coefficients, [...p.shape.slice(0, -1), n * n + 2 * n]),
    ...(res ? { logits: res } : {}),
  };
}

/** Scores [T, n − f] → S [T, k, n], and the factor with which each active stream is written, [T, k]. */
function chosenStreams(scores: Tensor, n: number, k: number): { S_TKN: Tensor; factor_TK: Tensor } {
  const [tokens, f] = [rowCount(scores.shape), fixedStreams(k)];
  const none = fill([n - f], 0);
  const { weights, experts: chosen } = chooseExperts(scores, none, { active: k - f, scale: 2, normalise: false });
  const routed = oneHot(chosen, n - f);
  if (f === 0) return { S_TKN: routed, factor_TK: weights };
  const always = constant(Array.from({ length: f }, (_, stream) => oneHotRow(n, stream)).flat(), [f, n]);
  return {
    S_TKN: concat([broadcast(always, [tokens, f, n]), concat([fill([tokens, k - f, f], 0), routed], 2)], 1),
    factor_TK: concat([fill([tokens, f], 1), weights], 1),
  };
}
