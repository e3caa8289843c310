// Question: what are the coefficients of a token when H_res is any of the maps in manifolds/?
//
//   p = RMSNorm(vec x) · φᵀ,  l = α_group · p + b,  groups pre (n), post (n), res (S)
//   pre = σ(l_pre),  post = 2σ(l_post),  res = map(l_res)
//
// A map that is not learned (learned-maps.ts) has no rows of φ, no α and no entries of b.
//
// The last K logits of some maps are the same for all tokens: l = b, without a row of φ.
//
// The same as ops/manifold-coefficients.ts, which fuses all of it for Sinkhorn, composed from operations.
// Shapes: x [..., n, C], φ [2n + S, nC], alpha [3], bias [2n + S] → [..., n² + 2n]; with all three maps learned.

import { add } from "../ops/elementwise.ts";
import { given } from "../basics/given.ts";
import { fill } from "../ops/fill.ts";
import { constant } from "../graph/state.ts";
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
import { identityMatrix } from "./initialisation.ts";
import { learnedMaps, type LearnedMaps } from "./learned-maps.ts";
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

/** How coefficients are made. */
export interface MapRules {
  /** The number n of streams. */
  readonly streams: number;
  /** The choice for H_res. */
  readonly map: ResidualMap;
  /** Which maps are learned. Default: all three. */
  readonly maps?: LearnedMaps;
  /** Default: none. */
  readonly slack?: SlackRules;
}

/** How many numbers of a token, of all tokens, and altogether a sublayer learns to make its maps. */
export interface MapSizes {
  /** Rows of φ of each map that is learned: of pre, of post, of res. */
  readonly groups: readonly number[];
  /** All rows of φ. */
  readonly rows: number;
  /** Logits that are the same for all tokens. */
  readonly fixed: number;
}

const allMaps = learnedMaps("all");

export function mapSizes({ streams: n, map, maps = allMaps }: Omit<MapRules, "slack">): MapSizes {
  const fixed = (maps.res && map.fixed?.(n)) || 0;
  const groups = [...(maps.pre ? [n] : []), ...(maps.post ? [n] : []), ...(maps.res ? [map.size(n) - fixed] : [])];
  return { groups, rows: groups.reduce((sum, size) => sum + size, 0), fixed };
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
): Decided {
  return projectedCoefficients(projectStreams(x, parameters.phi), parameters, { map, streams: streamSizes(x).streams });
}

/** The same from what φ read, p [..., rows of φ]. */
export function projectedCoefficients(p: Tensor, { alpha, bias, share }: MapParameters, rules: MapRules): Decided {
  const { map, streams: n } = rules;
  const { groups, rows, fixed } = mapSizes(rules);
  const tokens = rowCount(p.shape);
  const scales = perGroup(alpha, groups);
  const own = fixed === 0 ? bias : slice(bias, 0, 0, rows);
  const dynamic = add(
    multiply(reshape(p, [tokens, rows]), broadcast(scales, [tokens, rows])),
    broadcast(own, [tokens, rows]),
  );
  const fixed_K = fixed === 0 ? undefined : fixedLogits(bias, rows, map, share);
  const logits = fixed_K ? concat([dynamic, broadcast(fixed_K, [tokens, fixed])], 1) : dynamic;
  const mapped = mappedLogits(logits, rules);
  return {
    ...mapped,
    coefficients: reshape(mapped.coefficients, [...p.shape.slice(0, -1), n * n + 2 * n]),
    ...slackOf(fixed_K, share, rules),
  };
}

/** Coefficients that are the same for all tokens of x [..., n, C], from the bias alone; computed once. */
export function staticCoefficients(x: Tensor, { bias, share }: Omit<MapParameters, "alpha">, rules: MapRules): Decided {
  const { map, streams: n } = rules;
  const leading = x.shape.slice(0, -2);
  const { rows, fixed } = mapSizes(rules);
  const fixed_K = fixed === 0 ? undefined : fixedLogits(bias, rows, map, share);
  const logits = fixed_K ? concat([slice(bias, 0, 0, rows), fixed_K], 0) : bias;
  const one = mappedLogits(reshape(logits, [1, lastAxis(logits.shape)]), rules);
  const forAll = (row: Tensor, shape: Shape): Tensor => broadcast(reshape(row, [lastAxis(row.shape)]), shape);
  return {
    coefficients: forAll(one.coefficients, [...leading, n * n + 2 * n]),
    ...given({ logits: one.logits && forAll(one.logits, [sizeOf(leading), map.size(n)]) }),
    ...slackOf(fixed_K, share, rules),
  };
}

/** The coefficients [..., n² + 2n] of a sublayer that learns no map, for x [..., n, C]: those of a residual connection. */
export function residualCoefficients(x: Tensor): Decided {
  const { streams: n } = streamSizes(x);
  const values = [...Array<number>(n).fill(1 / n), ...Array<number>(n).fill(1), ...identityMatrix(n, 1)];
  const size = n * n + 2 * n;
  return { coefficients: broadcast(constant(values, [size]), [...x.shape.slice(0, -2), size]) };
}

/** The logits of the learned maps, [T, ...] → coefficients [T, n² + 2n], and the logits of H_res. */
function mappedLogits(
  logits: Tensor,
  { map, streams: n, maps = allMaps }: MapRules,
): Pick<Decided, "coefficients" | "logits"> {
  const tokens = rowCount(logits.shape);
  let from = 0;
  const next = (size: number): Tensor => slice(logits, 1, (from += size) - size, size);
  const all = (value: number): Tensor => fill([tokens, n], value);
  const pre = maps.pre ? sigmoid(next(n)) : all(1 / n);
  const post = maps.post ? scale(sigmoid(next(n)), 2) : all(1);
  const size = map.size(n);
  const resLogits = maps.res && size > 0 ? next(size) : undefined;
  const res = resLogits ? map.project(resLogits, n) : identities(tokens, n);
  return { coefficients: concat([pre, post, res], 1), ...given({ logits: resLogits }) };
}

/** What a map's slack adds to the training loss, and what of it falls. */
function slackOf(
  fixed_K: Tensor | undefined,
  share: Tensor | undefined,
  { map, streams: n, slack: { penalty = 0, steps } = {} }: MapRules,
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
