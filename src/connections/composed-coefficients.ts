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
import { lastAxis, rowCount, type Shape, sizeOf, type Tensor } from "../graph/tensor.ts";
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

/** α and b; and the share of a map's slack that is left [1], where it falls while the model trains. */
export type MapParameters = Pick<ConnectionParameters, "alpha" | "bias"> & { readonly share?: Tensor };

/** What a map's slack costs, and how long it lasts. */
export interface SlackRules {
  /** The weight of its departure in the training loss. Default 0. */
  readonly penalty?: number | undefined;
  /** Steps until nothing is left of it, where it has a share. */
  readonly steps?: number | undefined;
}

/** Added to the mean square of a token's entries. */
const EPSILON = 1e-20;

/** What φ reads off the streams of each token: x [..., n, C] → p [..., rows of φ]. */
export const projectStreams = (x: Tensor, phi: Tensor): Tensor =>
  streamProjection(x, phi, { over: "token", epsilon: EPSILON });

/**
 * The coefficients of mHC with another choice for H_res.
 *
 * @param x [..., n, C] streams
 * @param parameters phi [2n + S − K, n·C], rows pre | post | res, S the map's size, K of its logits fixed; alpha [3],
 *   scales of the projections of pre, post and res; bias [2n + S], without the share of an annealed map
 * @returns coefficients [..., n² + 2n], pre | post | res (row-major, row = output stream), and logits [T, S]; what is
 *   added to the training loss and what falls in each step, where the map has slack
 * @throws ShapeError when phi, alpha or bias do not fit
 */
export function composedCoefficients(
  x: Tensor,
  parameters: ConnectionParameters & MapParameters,
  map: ResidualMap,
  slack: SlackRules = {},
): Decided {
  return projectedCoefficients(projectStreams(x, parameters.phi), parameters, map, streamSizes(x).streams, slack);
}

/** The same from what φ read, p [..., 2n + S − K]. */
export function projectedCoefficients(
  p: Tensor,
  { alpha, bias, share }: MapParameters,
  map: ResidualMap,
  n: number,
  slack: SlackRules = {},
): Decided {
  const [size, fixed] = [map.size(n), map.fixed?.(n) ?? 0];
  const rows = 2 * n + size - fixed;
  const tokens = rowCount(p.shape);
  const scales = perGroup(alpha, [n, n, size - fixed]);
  const own = fixed === 0 ? bias : slice(bias, 0, 0, rows);
  const dynamic = add(
    multiply(reshape(p, [tokens, rows]), broadcast(scales, [tokens, rows])),
    broadcast(own, [tokens, rows]),
  );
  const fixed_K = fixed === 0 ? undefined : fixedLogits(bias, rows, map, share);
  const logits = fixed_K ? concat([dynamic, broadcast(fixed_K, [tokens, fixed])], 1) : dynamic;
  const mapped = mappedLogits(logits, map, n);
  return {
    ...mapped,
    coefficients: reshape(mapped.coefficients, [...p.shape.slice(0, -1), n * n + 2 * n]),
    ...slackOf(fixed_K, share, map, n, slack),
  };
}

/** Coefficients that are the same for all tokens of x [..., n, C], from the bias alone; computed once. */
export function staticCoefficients(
  x: Tensor,
  { bias, share }: Omit<MapParameters, "alpha">,
  map: ResidualMap,
  slack: SlackRules = {},
): Decided {
  const { streams: n } = streamSizes(x);
  const leading = x.shape.slice(0, -2);
  const rows = 2 * n + map.size(n) - (map.fixed?.(n) ?? 0);
  const fixed_K = map.fixed ? fixedLogits(bias, rows, map, share) : undefined;
  const logits = fixed_K ? concat([slice(bias, 0, 0, rows), fixed_K], 0) : bias;
  const one = mappedLogits(reshape(logits, [1, lastAxis(logits.shape)]), map, n);
  const forAll = (row: Tensor, shape: Shape): Tensor => broadcast(reshape(row, [lastAxis(row.shape)]), shape);
  return {
    coefficients: forAll(one.coefficients, [...leading, n * n + 2 * n]),
    ...given({ logits: one.logits && forAll(one.logits, [sizeOf(leading), map.size(n)]) }),
    ...slackOf(fixed_K, share, map, n, slack),
  };
}

/** Logits [T, 2n + S] → coefficients [T, n² + 2n], and those of H_res. */
function mappedLogits(logits: Tensor, map: ResidualMap, n: number): Pick<Decided, "coefficients" | "logits"> {
  const size = map.size(n);
  const pre = sigmoid(slice(logits, 1, 0, n));
  const post = scale(sigmoid(slice(logits, 1, n, n)), 2);
  const resLogits = size === 0 ? undefined : slice(logits, 1, 2 * n, size);
  const res = resLogits ? map.project(resLogits, n) : identities(rowCount(logits.shape), n);
  return { coefficients: concat([pre, post, res], 1), ...given({ logits: resLogits }) };
}

/** What a map's slack adds to the training loss, and what of it falls. */
function slackOf(
  fixed_K: Tensor | undefined,
  share: Tensor | undefined,
  map: ResidualMap,
  n: number,
  { penalty = 0, steps }: SlackRules,
): Pick<Decided, "penalty" | "falling"> {
  return given({
    penalty: penalty > 0 && fixed_K ? scale(map.departure!(fixed_K, n), penalty) : undefined,
    falling: share && steps !== undefined ? { share, steps } : undefined,
  });
}

/** What is the same for all tokens [K]: the end of the bias, and the share of an annealed map's slack. */
function fixedLogits(bias: Tensor, from: number, { annealed = false }: ResidualMap, share: Tensor | undefined): Tensor {
  const learned = slice(bias, 0, from, lastAxis(bias.shape) - from);
  return annealed ? concat([learned, share ?? fill([1], 1)], 0) : learned;
}
