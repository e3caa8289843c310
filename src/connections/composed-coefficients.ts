// Question: what are the coefficients of a token when H_res is any of the maps in manifolds/?
//
//   p = RMSNorm(vec x) · φᵀ,  l = α_group · p + b,  groups pre (n), post (n), res (S)
//   pre = σ(l_pre),  post = 2σ(l_post),  res = map(l_res)
//
// The last K logits of some maps are the same for all tokens: l = b, without a row of φ.
//
// The same as ops/manifold-coefficients.ts, which fuses all of it for Sinkhorn, composed from operations.
// Shapes: x [..., n, C], φ [2n + S, nC], alpha [3], bias [2n + S] → [..., n² + 2n].

import { add } from "../ops/elementwise.ts";
import { given } from "../basics/given.ts";
import { fill } from "../ops/fill.ts";
import { lastAxis, rowCount, type Tensor } from "../graph/tensor.ts";
import { concat } from "../ops/concat.ts";
import { multiply, scale, sigmoid } from "../ops/elementwise.ts";
import { broadcast } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { slice } from "../ops/slice.ts";
import { streamProjection } from "../ops/stream-projection.ts";
import { streamSizes } from "../ops/streams.ts";
import { identities } from "./manifolds/identity.ts";
import type { ConnectionParameters } from "./conventions/coefficients.ts";
import type { ResidualMap } from "./manifolds/residual-map.ts";
import { perGroup } from "./per-group.ts";
import type { Decided } from "./streams.ts";

/** φ, α and b; and the share of a map's slack that is left [1], where it falls while the model trains. */
export type MapParameters = ConnectionParameters & { readonly share?: Tensor };

/** What a map's slack costs, and how long it lasts. */
export interface SlackRules {
  /** The weight of its departure in the training loss. Default 0. */
  readonly penalty?: number | undefined;
  /** Steps until nothing is left of it, where it has a share. */
  readonly steps?: number | undefined;
}

/**
 * The coefficients of mHC with another choice for H_res.
 *
 * @param x [..., n, C] streams
 * @param parameters phi [2n + S − K, n·C], rows pre | post | res, S the map's size, K of its logits fixed; alpha [3],
 *   scales of the projections of pre, post and res; bias [2n + S], without the share of an annealed map
 * @param rules of the map's slack
 * @param epsilon added to the mean square of a token's entries
 * @returns coefficients [..., n² + 2n], pre | post | res (row-major, row = output stream), and logits [T, S]; what is
 *   added to the training loss and what falls in each step, where the map has slack
 * @throws ShapeError when phi, alpha or bias do not fit
 */
export function composedCoefficients(
  x: Tensor,
  { phi, alpha, bias, share }: MapParameters,
  map: ResidualMap,
  { penalty = 0, steps }: SlackRules = {},
  epsilon = 1e-20,
): Decided {
  const { streams: n } = streamSizes(x);
  const size = map.size(n),
    fixed = map.fixed?.(n) ?? 0,
    rows = 2 * n + size - fixed;
  const p = streamProjection(x, phi, { over: "token", epsilon });
  const tokens = rowCount(p.shape);
  const scales = perGroup(alpha, [n, n, size - fixed]);
  const own = fixed === 0 ? bias : slice(bias, 0, 0, rows);
  const logits = add(
    multiply(reshape(p, [tokens, rows]), broadcast(scales, [tokens, rows])),
    broadcast(own, [tokens, rows]),
  );
  const pre = sigmoid(slice(logits, 1, 0, n));
  const post = scale(sigmoid(slice(logits, 1, n, n)), 2);
  const fixed_K = fixed === 0 ? undefined : fixedLogits(bias, rows, map, share);
  const dynamic = size === 0 ? undefined : slice(logits, 1, 2 * n, size - fixed);
  const resLogits = dynamic && fixed_K ? concat([dynamic, broadcast(fixed_K, [tokens, fixed])], 1) : dynamic;
  const res = resLogits ? map.project(resLogits, n) : identities(tokens, n);
  const coefficients = reshape(concat([pre, post, res], 1), [...p.shape.slice(0, -1), n * n + 2 * n]);
  return {
    coefficients,
    ...given({
      logits: resLogits,
      penalty: penalty > 0 && fixed_K ? scale(map.departure!(fixed_K, n), penalty) : undefined,
      falling: share && steps !== undefined ? { share, steps } : undefined,
    }),
  };
}

/** What is the same for all tokens [K]: the end of the bias, and the share of an annealed map's slack. */
function fixedLogits(bias: Tensor, from: number, { annealed = false }: ResidualMap, share: Tensor | undefined): Tensor {
  const learned = slice(bias, 0, from, lastAxis(bias.shape) - from);
  return annealed ? concat([learned, share ?? fill([1], 1)], 0) : learned;
}
