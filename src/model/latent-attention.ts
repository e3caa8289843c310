// Question: what is multi-head latent attention (MLA; DeepSeek-V2, arXiv 2405.04434; V3, 2412.19437 §2.1.1)?
//
// Keys and values of all heads are computed from one short vector per token, its latent. Only the latent and the
// rotated part of the key, which all heads share, need to be kept:
//
//   [ a | r ] = x W_down,   l = RMSNorm(a),   [ c_h | v_h ] = l W_up,   k_h = [ rotary(r) | c_h ]
//   q_h = [ rotary(·) | · ] of x W_query, or of RMSNorm(x W_queryDown) W_queryUp with a rank for the queries
//   y = concat_h(attention(q_h, k_h, v_h)) W_output,   scores scaled by 1 / √(R + K)
//
// Position is carried by R columns of a head and content by K others, so that W_up can be absorbed into the
// queries and the output: with W_up,h = [ W_key,h | W_value,h ],
//
//   q_h · k_h = [ rotary(·) | q_h,content W_key,hᵀ ] · [ rotary(r) | l ],   Σ_j p_j v_j,h = (Σ_j p_j l_j) W_value,h
//
// which is attention with one key head of R + L columns, shared by all query heads, whose values are the
// latents: a cache for writing texts holds rotary(r) and l, and nothing for each head. In training, all tokens
// are computed at once, and keys and values are made in full. The rotated columns come first in a head.
//
// Legend: N tokens, C channels, L rank of the latent, H heads, R, K, V columns of a head, Q rank of queries.

import { z } from "zod";
import { MOST_WIDTH } from "../basics/bounds.ts";
import { count } from "../basics/schemas.ts";
import { showValue } from "../basics/show.ts";
import type { ParameterSet } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { attention } from "../ops/attention.ts";
import { concat } from "../ops/concat.ts";
import { NO_CAUSAL_PLAN } from "../ops/cross-attention.ts";
import { latentHeads } from "../ops/latent-heads.ts";
import { batchedMatmul } from "../ops/batched-matmul.ts";
import { matmul } from "../ops/matmul.ts";
import { permute } from "../ops/permute.ts";
import { reshape } from "../ops/reshape.ts";
import { rmsNorm } from "../ops/rms-norm.ts";
import { rotary } from "../ops/rotary.ts";
import { slice } from "../ops/slice.ts";
import type { Attending } from "./attending.ts";
import { DEVIATION, outputDeviation } from "./initial.ts";

/** Multi-head latent attention in place of plain attention. */
export interface LatentAttentionConfig {
  readonly kind: "mla";
  /** L: length of the latent. 512 in DeepSeek-V3 and in the models of the mHC paper. */
  readonly rank: number;
  /** Q: rank of the queries; absent means that they are computed in one step. */
  readonly queryRank?: number;
  /** R: columns of a head that carry the position; even. */
  readonly rotarySize: number;
  /** K: columns of a head that carry content. */
  readonly contentSize: number;
  /** V: columns of a value. */
  readonly valueSize: number;
}

export const latentAttentionSchema: z.ZodType<LatentAttentionConfig> = z
  .strictObject({
    kind: z.custom<"mla">((kind) => kind === "mla", {
      error: ({ input }) =>
        `${input === undefined ? "nothing" : showValue(input)} is given; it must be "mla"` +
        (/sinkhorn|doubly/i.test(String(input))
          ? `. This model is causal, and ${NO_CAUSAL_PLAN}; crossAttention of birkhoff/ops has it for encoders`
          : ""),
    }),
    rank: count(MOST_WIDTH),
    queryRank: count(MOST_WIDTH).exactOptional(),
    rotarySize: count(MOST_WIDTH),
    contentSize: count(MOST_WIDTH),
    valueSize: count(MOST_WIDTH),
  })
  .superRefine(({ rotarySize }, context) => {
    if (rotarySize % 2 !== 0)
      context.addIssue({
        code: "custom",
        path: ["rotarySize"],
        message: `${rotarySize} is given; it must be even, for rotary embeddings`,
      });
  });

/** Columns of a head that turn with the position. */
export function rotarySize({
  attention: latent,
  width,
  heads,
}: Pick<Sizes, "width" | "heads"> & { readonly attention?: LatentAttentionConfig | undefined }): number {
  return latent?.rotarySize ?? width / heads;
}

/** What this file needs to know about a model. */
interface Sizes {
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  readonly normEpsilon: number;
  readonly attention: LatentAttentionConfig;
}

interface Sequences {
  readonly batch: number;
  readonly length: number;
  /** Cosines and sines for `rotarySize` columns. */
  readonly angles: Tensor;
  /**
   * With a cache it gets the absorbed form: queries, the key [ r | l ] and the value l of each token,
   * [B, T, H (R + L) + (R + L) + L] → [B, T, H · L]. Otherwise keys and values are made in full.
   */
  readonly attending: Pick<Attending, "remembers" | "attend">;
}

/** One layer's latent attention. */
export function latentAttentionBlock(
  parameters: ParameterSet,
  config: Sizes,
  layer: number,
): (x_NC: Tensor, sequences: Sequences) => Tensor {
  const { width, heads, normEpsilon } = config;
  const { rank, queryRank, rotarySize, contentSize, valueSize } = config.attention;
  const headSize = rotarySize + contentSize;
  const deviation = { normal: DEVIATION };
  const weight = (name: string, rows: number, columns: number): Tensor =>
    parameters.create(name, [rows, columns], deviation, "weight");
  const norm = (name: string, size: number): Tensor => parameters.create(name, [size], { constant: 1 }, "norm");

  const queryOf = makeQuery();
  const down_CE = weight("latentDown", width, rank + rotarySize);
  const norm_L = norm("latentNorm", rank);
  const up_LE = weight("latentUp", rank, heads * (contentSize + valueSize));
  const output_VC = parameters.create(
    "output",
    [heads * valueSize, width],
    { normal: outputDeviation(config) },
    "weight",
  );

  function makeQuery(): (x_NC: Tensor) => Tensor {
    if (queryRank === undefined) {
      const query_CE = weight("query", width, heads * headSize);
      return (x_NC) => matmul(x_NC, query_CE);
    }
    const down_CQ = weight("queryDown", width, queryRank);
    const norm_Q = norm("queryNorm", queryRank);
    const up_QE = weight("queryUp", queryRank, heads * headSize);
    return (x_NC) => matmul(rmsNorm(matmul(x_NC, down_CQ), norm_Q, normEpsilon), up_QE);
  }

  /** From turned queries, the turned part of the key and the latent to the mixed values, [N, H · V]. */
  function attendAbsorbed(
    attend: Attending["attend"],
    query_BTE: Tensor,
    position_BTR: Tensor,
    latent_BTL: Tensor,
  ): Tensor {
    const [batch, length] = query_BTE.shape as [number, number];
    const rows = batch * length;
    const up_HUL = permute(reshape(up_LE, [rank, heads, contentSize + valueSize]), [1, 2, 0]);
    const query_NHD = reshape(query_BTE, [rows, heads, headSize]);
    const content_HNK = permute(slice(query_NHD, 2, rotarySize, contentSize), [1, 0, 2]);
    const asked_HNL = batchedMatmul(content_HNK, slice(up_HUL, 1, 0, contentSize));
    const turned_NHR = slice(query_NHD, 2, 0, rotarySize);
    const queries_NHE = concat([turned_NHR, permute(asked_HNL, [1, 0, 2])], 2);
    const queries_BTE = reshape(queries_NHE, [batch, length, heads * (rotarySize + rank)]);
    const mixed_BTM = attend(
      concat([queries_BTE, position_BTR, latent_BTL, latent_BTL], 2),
      { heads, kvHeads: 1, headSize: rotarySize + rank, valueSize: rank, scale: 1 / Math.sqrt(headSize) },
      layer,
    );
    const mixed_HNL = permute(reshape(mixed_BTM, [rows, heads, rank]), [1, 0, 2]);
    const values_HNV = batchedMatmul(mixed_HNL, slice(up_HUL, 1, contentSize, valueSize), { transposeB: true });
    return reshape(permute(values_HNV, [1, 0, 2]), [rows, heads * valueSize]);
  }

  return (x_NC: Tensor, { batch, length, angles, attending }: Sequences): Tensor => {
    const turned = (x: Tensor, count: number, size: number): Tensor =>
      rotary(reshape(x, [batch, length, count * size]), angles, { heads: count, headSize: size });
    const query_BTE = turned(queryOf(x_NC), heads, headSize);
    const latent_NE = matmul(x_NC, down_CE);
    const position_BTR = turned(slice(latent_NE, 1, rank, rotarySize), 1, rotarySize);
    const latent_NL = rmsNorm(slice(latent_NE, 1, 0, rank), norm_L, normEpsilon);
    if (attending.remembers) {
      const latent_BTL = reshape(latent_NL, [batch, length, rank]);
      return matmul(attendAbsorbed(attending.attend, query_BTE, position_BTR, latent_BTL), output_VC);
    }
    const pairs_NE = matmul(latent_NL, up_LE);
    const packed_BTE = latentHeads(query_BTE, pairs_NE, position_BTR, { heads, rotarySize, contentSize, valueSize });
    const mixed_BTV = attention(packed_BTE, { heads, headSize, valueSize });
    return matmul(reshape(mixed_BTV, [batch * length, heads * valueSize]), output_VC);
  };
}
