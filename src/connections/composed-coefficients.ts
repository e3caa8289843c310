// Question: what are the coefficients of a token when H_res is any of the maps in manifolds/?
//
//   p = RMSNorm(vec x) · φᵀ,  l = α_group · p + b,  groups pre (n), post (n), res (S)
//   pre = σ(l_pre),  post = 2σ(l_post),  res = map(l_res)
//
// The same as ops/manifold-coefficients.ts, which fuses all of it for Sinkhorn, composed from operations.
// Shapes: x [..., n, C], φ [2n + S, nC], alpha [3], bias [2n + S] → [..., n² + 2n].

import { add } from "../ops/elementwise.ts";
import { rowCount, type Tensor } from "../graph/tensor.ts";
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

/**
 * The coefficients of mHC with another choice for H_res.
 *
 * @param x [..., n, C] streams
 * @param parameters phi [2n + S, n·C], rows pre | post | res, S the map's size; alpha [3], scales of the
 *   projections of pre, post and res; bias [2n + S]
 * @param epsilon added to the mean square of a token's entries
 * @returns coefficients [..., n² + 2n], pre | post | res (row-major, row = output stream), and logits [T, S]
 * @throws ShapeError when phi, alpha or bias do not fit
 */
export function composedCoefficients(
  x: Tensor,
  { phi, alpha, bias }: ConnectionParameters,
  map: ResidualMap,
  epsilon = 1e-20,
): Decided {
  const { streams: n } = streamSizes(x);
  const size = map.size(n),
    P = 2 * n + size;
  const p = streamProjection(x, phi, { over: "token", epsilon });
  const tokens = rowCount(p.shape);
  const scales = perGroup(alpha, [n, n, size]);
  const logits = add(multiply(reshape(p, [tokens, P]), broadcast(scales, [tokens, P])), broadcast(bias, [tokens, P]));
  const pre = sigmoid(slice(logits, 1, 0, n));
  const post = scale(sigmoid(slice(logits, 1, n, n)), 2);
  const resLogits = size === 0 ? undefined : slice(logits, 1, 2 * n, size);
  const res = resLogits ? map.project(resLogits, n) : identities(tokens, n);
  const coefficients = reshape(concat([pre, post, res], 1), [...p.shape.slice(0, -1), n * n + 2 * n]);
  return resLogits ? { coefficients, logits: resLogits } : { coefficients };
}
