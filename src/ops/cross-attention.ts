// Question: what is attention that looks both ways, or from one sequence into another?
//
//   s_ij = scale · q_i · k_j,   p = softmax of each row of s, or a transport plan of it,   o_i = Σ_j p_ij v_j
//
// With a transport plan (Sinkhorn attention: Sinkformers, Sander et al. 2021, arXiv 2110.11773) every key is used
// equally, T / S times in all. Which share of a key a query gets then depends on all other queries, so it fits encoders
// and decoders that write all tokens at once, and no decoder that writes one after the other:
//
// A doubly stochastic matrix that is causal, p_ij = 0 for j > i, is the identity. Its first row has only p_11, so p_11 is
// 1; then column 1 is full, and the second row has only p_22; and so on. Every token would attend to itself alone.
//
// Composed of other operations; the scores are stored. For causal attention there is attention(), which stores none.
// Shapes: q [B, T, heads · D], k [B, S, heads · D], v [B, S, heads · V] → [B, T, heads · V].

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { expectWhole } from "../basics/ranges.ts";
import { MOST_ITERATIONS } from "../basics/bounds.ts";
import type { Tensor } from "../graph/tensor.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { scale as times } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { lowerTriangle } from "./masks.ts";
import { permute } from "./permute.ts";
import { broadcast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { select } from "./select.ts";
import { expectShapes } from "./shapes.ts";
import { softmax } from "./softmax.ts";
import { transportPlan } from "./transport-plan.ts";

/** How queries attend to keys. */
export interface CrossAttentionOptions {
  readonly heads: number;
  /** Sinkhorn iterations, after which every key is used equally. Default 0: the softmax. */
  readonly iterations?: number;
  /** What scores are multiplied by. Default 1 / √D. */
  readonly scale?: number;
  /** Whether query i sees keys 0 to i only; for the softmax, and T = S. Default false. */
  readonly causal?: boolean;
}

const optionRules: FieldRules<CrossAttentionOptions> = {
  heads: "number",
  iterations: "number",
  scale: "number",
  causal: "flag",
};

/** What a causal model is told that asks for Sinkhorn attention. */
export const NO_CAUSAL_PLAN =
  "a causal doubly stochastic matrix can only be the identity: its first row has one entry, which is 1, so the second row has one left, and so on, and every token would see itself alone";

/**
 * Attention from each query to all keys: an encoder's, with q, k and v of one sequence, or a decoder's to an encoder.
 *
 * @param q [B, T, heads · D]
 * @param k [B, S, heads · D]
 * @param v [B, S, heads · V]
 * @returns [B, T, heads · V]
 * @throws ShapeError when these do not fit; RangeError for a bad number of iterations, and for iterations with causal,
 *   where a doubly stochastic matrix can only be the identity
 */
export function crossAttention(q: Tensor, k: Tensor, v: Tensor, options: CrossAttentionOptions): Tensor {
  expectFields("crossAttention", options, optionRules);
  const { heads, iterations = 0, causal = false } = options;
  expectWhole("crossAttention", "heads", heads, 1, Number.MAX_SAFE_INTEGER);
  expectWhole("crossAttention", "iterations", iterations, 0, MOST_ITERATIONS);
  if (causal && iterations > 0)
    throw new RangeError(
      `crossAttention: causal is true and iterations is ${iterations}; ${NO_CAUSAL_PLAN}. Leave out iterations, or causal where all tokens are there at once.`,
    );
  const [batch, T, width] = q.shape as [number, number, number];
  const S = k.shape[1];
  const columns = v.shape[2];
  expectShapes(
    q.shape.length === 3 &&
      width % heads === 0 &&
      k.shape.length === 3 &&
      k.shape[0] === batch &&
      k.shape[2] === width &&
      v.shape.length === 3 &&
      v.shape[0] === batch &&
      v.shape[1] === S &&
      columns! % heads === 0 &&
      (!causal || T === S),
    "crossAttention",
    { q, k, v },
    `q must be [B, T, ${heads} · D], k [B, S, ${heads} · D] and v [B, S, ${heads} · V]${causal ? ", and with causal T = S" : ""}.`,
  );
  const split = (x: Tensor): Tensor => {
    const [, length, size] = x.shape as [number, number, number];
    return permute(reshape(x, [batch, length, heads, size / heads]), [0, 2, 1, 3]);
  };
  const [q_BHTD, k_BHSD, v_BHSV] = [split(q), split(k), split(v)];
  const scores = times(
    batchedMatmul(q_BHTD, k_BHSD, { transposeB: true }),
    options.scale ?? 1 / Math.sqrt(width / heads),
  );
  const seen = causal
    ? select(broadcast(lowerTriangle(T), scores.shape), scores, fill(scores.shape, -Infinity))
    : scores;
  const weights = iterations > 0 ? transportPlan(seen, { iterations }) : softmax(seen);
  return reshape(permute(batchedMatmul(weights, v_BHSV), [0, 2, 1, 3]), [batch, T, columns!]);
}
