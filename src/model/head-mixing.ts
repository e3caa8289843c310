// Question: how do the heads of an attention layer mix?
//
// Talking heads (Shazeer et al. 2020, arXiv 2003.02436) mix the logits of the heads before the softmax, and what the
// heads give; DCMHA (Xiao et al. 2024, arXiv 2405.08553) lets each token decide how. Here the matrices lie in one of
// the sets of connections/manifolds, as H_res of mHC does: by default they are doubly stochastic.
//
//   l_t = α x_t Φ + b,   M_t = map(l_t)                dynamic; static: l = b for all tokens
//   values   v'_jg = Σ_h M_j[g, h] v_jh                each token mixes the values of its key heads before it is seen
//   logits   s'_ig j = Σ_h M_i[g, h] q_ih · k_jh       each token mixes the scores of its query heads
//
// Bounds. A row of a doubly stochastic M is a convex combination: no mixed value is longer than the longest of its
// token, and no mixed score is larger than the largest of its pair. Columns sum to one, too: every head is used as much
// as every other, and the mean over heads of values and of scores stays what it was.
//
// Mixed scores are those of one key head, which is all key heads side by side:
//
//   s'_ig j = [ Σ_{h reads 0} M_i[g, h] q_ih | Σ_{h reads 1} M_i[g, h] q_ih | … ] · [ k_j0 | k_j1 | … ]
//
// so they need no T × T matrix in memory, any attention can compute them, and a cache keeps what it always keeps. The
// price is K times the products of scores and values.
//
// Legend: N tokens, C channels, H query heads, K key heads, G = H / K, D columns of a head, S logits of a matrix.

import { given } from "../basics/given.ts";
import { z } from "zod";
import { MOST_ITERATIONS, MOST_STREAMS } from "../basics/bounds.ts";
import { count } from "../basics/schemas.ts";
import { ALPHA, PHI_DEVIATION } from "../connections/initialisation.ts";
import { identities } from "../connections/manifolds/identity.ts";
import {
  iteratedMap,
  iteratedMaps,
  type ResidualMapName,
  residualMapNames,
  residualMaps,
} from "../connections/manifolds/table.ts";
import type { ParameterSet } from "../graph/parameters.ts";
import { rowCount, type Tensor } from "../graph/tensor.ts";
import { batchedMatmul } from "../ops/batched-matmul.ts";
import { concat } from "../ops/concat.ts";
import { add, multiply } from "../ops/elementwise.ts";
import { matmul } from "../ops/matmul.ts";
import { permute } from "../ops/permute.ts";
import { broadcast } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { slice } from "../ops/slice.ts";
import type { Attending, Heads } from "./attending.ts";

/** What of an attention layer is mixed over its heads. */
export const mixedParts = ["values", "logits", "both"] as const;

/** How the heads of every attention layer mix. */
export interface HeadMixingConfig {
  /** The values of the key heads before attention, the scores of the query heads before the softmax, or both. */
  readonly of: (typeof mixedParts)[number];
  /** Whether each token decides how its heads mix; otherwise a layer mixes those of all tokens alike. Default true. */
  readonly dynamic: boolean;
  /** The set of matrices; those of docs/manifolds.md without a learned slack. Default "sinkhorn": doubly stochastic. */
  readonly map?: ResidualMapName;
  /** Iterations of "sinkhorn" and "sinkhorn-implicit". Default 20. */
  readonly iterations?: number;
}

export const headMixingSchema: z.ZodType<HeadMixingConfig> = z.strictObject({
  of: z.enum(mixedParts).default("values"),
  dynamic: z.boolean().default(true),
  map: z.enum(residualMapNames).exactOptional(),
  iterations: count(MOST_ITERATIONS).exactOptional(),
});

/** Columns of the one key head of mixed scores, at most: what a thread of the CPU's attention holds. */
const MOST_COLUMNS = 512;

/** What this file needs to know about a model. */
interface Sizes {
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
}

const mixes = ({ of }: HeadMixingConfig, part: "values" | "logits"): boolean => of === part || of === "both";

/** What does not fit a model of such heads, or undefined. */
export function headMixingMisfit(mixing: HeadMixingConfig, { width, heads, kvHeads }: Sizes): string | undefined {
  const { map = "sinkhorn", iterations } = mixing;
  if (iterations !== undefined && !iteratedMaps.includes(map))
    return `iterations is given, and the map ${map} does not iterate; leave it out, or take one of ${iteratedMaps.join(", ")}`;
  if (residualMaps[map].annealed) return `the map ${map} is not one for heads; it has a slack that a connection trains`;
  for (const [part, n, name] of [
    ["values", kvHeads, "kvHeads"],
    ["logits", heads, "heads"],
  ] as const) {
    if (!mixes(mixing, part)) continue;
    if (n < 2) return `${part} of one head cannot mix; ${name} is ${n} and must be at least 2`;
    if (n > MOST_STREAMS) return `${part} of ${n} heads are given to be mixed; ${name} must be at most ${MOST_STREAMS}`;
    const fits = residualMaps[map].supports(n);
    if (fits !== true) return `the map ${map} does not mix the ${part} of ${n} heads: ${fits}`;
  }
  const columns = (width / heads) * kvHeads;
  if (mixes(mixing, "logits") && columns > MOST_COLUMNS)
    return `mixed logits need the columns of all key heads together, ${columns}; they can be ${MOST_COLUMNS} at most, so take fewer kvHeads, or mix values`;
  return undefined;
}

/** Matrices of one layer: [N, C] → [N, n, n]. */
function mixingMatrices(
  parameters: ParameterSet,
  { dynamic, map: name = "sinkhorn", iterations }: HeadMixingConfig,
  { width, n }: { readonly width: number; readonly n: number },
): (x_NC: Tensor) => Tensor {
  const map = iteratedMap(name, iterations);
  const fixed = map.fixed?.(n) ?? 0;
  const own = map.size(n) - fixed;
  const start = map.bias(n);
  const create = (part: string, shape: readonly number[], initial: Parameters<ParameterSet["create"]>[2]): Tensor =>
    parameters.create(part, shape, initial, "connection");
  const phi_CS = dynamic && own > 0 ? create("phi", [width, own], { normal: PHI_DEVIATION }) : undefined;
  const alpha = phi_CS && create("alpha", [1], { constant: ALPHA });
  const bias_S = map.size(n) > 0 ? create("bias", [map.size(n)], { values: start }) : undefined;
  return (x_NC) => {
    const N = rowCount(x_NC.shape);
    if (!bias_S) return reshape(identities(N, n), [N, n, n]);
    if (!phi_CS || !alpha) {
      const one = map.project(reshape(bias_S, [1, map.size(n)]), n);
      return broadcast(reshape(one, [n, n]), [N, n, n]);
    }
    const read_NS = matmul(x_NC, phi_CS);
    const decided_NS = add(
      multiply(read_NS, broadcast(reshape(alpha, []), [N, own])),
      broadcast(slice(bias_S, 0, 0, own), [N, own]),
    );
    const logits_NS =
      fixed === 0 ? decided_NS : concat([decided_NS, broadcast(slice(bias_S, 0, own, fixed), [N, fixed])], 1);
    return reshape(map.project(logits_NS, n), [N, n, n]);
  };
}

/** The matrices by which heads mix, where they do: of values [N, K, K], of logits [N, H, H]. */
export interface HeadMatrices {
  readonly values?: Tensor;
  readonly logits?: Tensor;
}

/** Attention whose heads mix: [B, T, (H + 2K) D] as `attend` takes it, and the block's input [N, C] → [B, T, H D]. */
export type MixedAttend = (
  qkv_BTE: Tensor,
  x_NC: Tensor,
  attend: Attending["attend"],
  layer: number,
) => { readonly mixed_BTC: Tensor; readonly matrices: HeadMatrices };

/**
 * The head mixing of one layer.
 *
 * @param parameters under which it makes `values.…` and `logits.…`
 */
export function headMixing(parameters: ParameterSet, config: HeadMixingConfig, sizes: Sizes): MixedAttend {
  const { width, heads, kvHeads } = sizes;
  const D = width / heads;
  const matrices = (part: "values" | "logits", n: number): ((x_NC: Tensor) => Tensor) | undefined =>
    mixes(config, part) ? mixingMatrices(parameters.under(part), config, { width, n }) : undefined;
  const ofValues = matrices("values", kvHeads);
  const ofLogits = matrices("logits", heads);
  return (qkv_BTE, x_NC, attend, layer) => {
    const [queries, keys, values] = [heads * D, kvHeads * D, kvHeads * D];
    const [q_BTE, k_BTE, own_BTE] = [
      slice(qkv_BTE, 2, 0, queries),
      slice(qkv_BTE, 2, queries, keys),
      slice(qkv_BTE, 2, queries + keys, values),
    ];
    const [M_NKK, M_NHH] = [ofValues?.(x_NC), ofLogits?.(x_NC)];
    const v_BTE = M_NKK ? mixValues(own_BTE, M_NKK, kvHeads) : own_BTE;
    const matrices = given({ values: M_NKK, logits: M_NHH });
    if (!M_NHH) {
      const packed_BTE = concat([q_BTE, k_BTE, v_BTE], 2);
      return { mixed_BTC: attend(packed_BTE, { heads, kvHeads, headSize: D }, layer), matrices };
    }
    const mixed_BTE = mixQueries(q_BTE, M_NHH, { heads, kvHeads });
    const together: Heads = { heads, kvHeads: 1, headSize: kvHeads * D, scale: 1 / Math.sqrt(D) };
    const seen_BTE = attend(concat([mixed_BTE, k_BTE, v_BTE], 2), together, layer);
    return { mixed_BTC: ownValues(seen_BTE, { heads, kvHeads }), matrices };
  };
}

/** v'_g = Σ_h M[g, h] v_h for every token: [B, T, K D], [N, K, K] → [B, T, K D]. */
function mixValues(v_BTE: Tensor, M_NKK: Tensor, K: number): Tensor {
  const N = M_NKK.shape[0]!;
  return reshape(batchedMatmul(M_NKK, reshape(v_BTE, [N, K, v_BTE.shape[2]! / K])), v_BTE.shape);
}

/** For every head g the queries of each key head's readers, mixed: [B, T, H D], [N, H, H] → [B, T, H K D]. */
function mixQueries(
  q_BTE: Tensor,
  M_NHH: Tensor,
  { heads: H, kvHeads: K }: { readonly heads: number; readonly kvHeads: number },
): Tensor {
  const [batch, length, columns] = q_BTE.shape as [number, number, number];
  const [N, G, D] = [batch * length, H / K, columns / H];
  const M_NKHG = permute(reshape(M_NHH, [N, H, K, G]), [0, 2, 1, 3]);
  const mixed_NKHD = batchedMatmul(M_NKHG, reshape(q_BTE, [N, K, G, D]));
  return reshape(permute(mixed_NKHD, [0, 2, 1, 3]), [batch, length, H * K * D]);
}

/** Each head saw the values of all key heads side by side; its own stay: [B, T, H K V] → [B, T, H V]. */
function ownValues(
  seen_BTE: Tensor,
  { heads: H, kvHeads: K }: { readonly heads: number; readonly kvHeads: number },
): Tensor {
  const [batch, length, columns] = seen_BTE.shape as [number, number, number];
  const [N, G, V] = [batch * length, H / K, columns / (H * K)];
  const seen_NKGKV = reshape(seen_BTE, [N, K, G, K, V]);
  const own = Array.from({ length: K }, (_, k) => slice(slice(seen_NKGKV, 1, k, 1), 3, k, 1));
  return reshape(concat(own, 1), [batch, length, H * V]);
}
