// Question: what is causal self-attention with grouped heads (Vaswani et al. 2017; Ainslie et al. 2023, arXiv
// 2305.13245)?
//
//   s_ij = scale · q_i · k_j (j ≤ i),  p_ij = e^(s_ij − lse_i),  lse_i = log Σ_j e^(s_ij),  o_i = Σ_j p_ij v_j
//   dv_j = Σ_i p_ij g_i,  ds_ij = p_ij (g_i · v_j − g_i · o_i),
//   dq_i = scale · Σ_j ds_ij k_j,  dk_j = scale · Σ_i ds_ij q_i
//
// Nothing of size T × T is stored: the backward pass computes p again from lse (Dao et al. 2022, arXiv 2205.14135).
//
// Shapes: qkv [B, T, E], E = (heads + kvHeads) · headSize + kvHeads · valueSize: the query heads, then the key
// heads, then the value heads. Query head h reads key and value head floor(h · kvHeads / heads). Output
// [B, T, heads · valueSize], lse [B, heads, T].

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { apply, f32, type Operation, type Shape, type Tensor, type TensorSpec, type Values } from "../graph/tensor.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { concat } from "./concat.ts";
import { addScaled, dot } from "./dot.ts";
import { exp, multiply, scale as times, subtract } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { lowerTriangle } from "./masks.ts";
import { permute } from "./permute.ts";
import { broadcast, broadcastLast, sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { select } from "./select.ts";
import { expectShapes } from "./shapes.ts";
import { slice } from "./slice.ts";
import { composedLogSumExp } from "./softmax.ts";

export interface AttentionAttributes {
  readonly heads: number;
  readonly kvHeads: number;
  /** Columns of a query and of a key. */
  readonly headSize: number;
  /** Columns of a value. */
  readonly valueSize: number;
  readonly scale: number;
}

export const attentionOperation: Operation<["qkv"], ["out", "lse"], AttentionAttributes> = {
  name: "attention",
  inputs: ["qkv"],
  outputs: ["out", "lse"],
  infer({ qkv }, { heads, kvHeads, headSize, valueSize }) {
    const width = (heads + kvHeads) * headSize + kvHeads * valueSize;
    expectShapes(
      qkv.shape.length === 3 && qkv.shape[2] === width,
      "attention",
      { qkv },
      `qkv must be [B, T, E] with E = (heads ${heads} + kvHeads ${kvHeads}) · headSize ${headSize} + kvHeads · valueSize ${valueSize} = ${width}.`,
    );
    expectShapes(
      heads % kvHeads === 0,
      "attention",
      { qkv },
      `every key head serves equally many query heads, so kvHeads (${kvHeads}) must divide heads (${heads}).`,
    );
    const { batch, length } = sequences(qkv);
    return { out: f32(batch, length, heads * valueSize), lse: f32(batch, heads, length) };
  },
  gradient({ qkv, out, lse }, { out: g, lse: lseGradient }, attributes) {
    if (lseGradient || !g)
      throw new Error("attention: the second output (log-sum-exp) carries no gradient; use only the first in a loss.");
    return { qkv: apply(attentionBackwardOperation, { qkv, out, lse, g }, attributes).dqkv };
  },
  flops: ({ qkv }, attributes) => products(qkv, attributes, 1, 1),
  reference({ qkv }, { out, lse }, attributes) {
    const { headSize, valueSize, scale } = attributes;
    forEachQuery(qkv, attributes, ({ b, head, i, query, key, value, result }) => {
      const q = qkv.place(b, i, query);
      const scores = Array.from({ length: i + 1 }, (_, j) => scale * dot(qkv, q, qkv, qkv.place(b, j, key), headSize));
      const highest = Math.max(...scores);
      const log = Math.log(scores.reduce((sum, score) => sum + Math.exp(score - highest), 0));
      lse.set(b, head, i, highest + log);
      for (const [j, score] of scores.entries()) {
        addScaled(
          out,
          out.place(b, i, result),
          Math.exp(score - highest - log),
          qkv,
          qkv.place(b, j, value),
          valueSize,
        );
      }
    });
  },
  compose({ qkv }, attributes) {
    const heads = splitHeads(qkv, attributes);
    const scores = causalScores(heads, attributes);
    const lse = composedLogSumExp(scores);
    const p = exp(subtract(scores, broadcastLast(lse, heads.length)));
    const { batch, length } = heads;
    return {
      out: joinHeads(batchedMatmul(p, heads.v), heads, attributes.valueSize),
      lse: reshape(lse, [batch, attributes.heads, length]),
    };
  },
};

export const attentionBackwardOperation: Operation<["qkv", "out", "lse", "g"], ["dqkv"], AttentionAttributes> = {
  name: "attentionBackward",
  inputs: ["qkv", "out", "lse", "g"],
  outputs: ["dqkv"],
  infer: ({ qkv }) => ({ dqkv: { shape: qkv.shape, dtype: "f32" } }),
  flops: ({ qkv }, attributes) => products(qkv, attributes, 3, 2),
  reference({ qkv, out, lse, g }, { dqkv }, attributes) {
    const { headSize, valueSize, scale } = attributes;
    forEachQuery(qkv, attributes, ({ b, head, i, query, key, value, result }) => {
      const [q, o] = [qkv.place(b, i, query), g.place(b, i, result)];
      const along = dot(g, o, out, o, valueSize);
      for (let j = 0; j <= i; j++) {
        const [k, v] = [qkv.place(b, j, key), qkv.place(b, j, value)];
        const p = Math.exp(scale * dot(qkv, q, qkv, k, headSize) - lse.at(b, head, i));
        const ds = scale * p * (dot(g, o, qkv, v, valueSize) - along);
        addScaled(dqkv, q, ds, qkv, k, headSize);
        addScaled(dqkv, k, ds, qkv, q, headSize);
        addScaled(dqkv, v, p, g, o, valueSize);
      }
    });
  },
  compose({ qkv, out, lse, g }, attributes) {
    const { headSize, valueSize, scale } = attributes;
    const heads = splitHeads(qkv, attributes);
    const { q, k, v, length } = heads;
    const scores = causalScores(heads, attributes);
    const p = exp(subtract(scores, broadcastLast(reshape(lse, scores.shape.slice(0, -1)), length)));
    const [g_h, out_h] = [g, out].map((x) => queryHeads(x, attributes, valueSize)) as [Tensor, Tensor];
    const along = broadcastLast(sumLast(multiply(g_h, out_h)), length);
    const dp = batchedMatmul(g_h, v, { transposeB: true });
    const ds = times(multiply(p, subtract(dp, along)), scale);
    const dq = joinHeads(batchedMatmul(ds, k), heads, headSize);
    const dk = joinKeyHeads(batchedMatmul(ds, q, { transposeA: true }), heads);
    const dv = joinKeyHeads(batchedMatmul(p, g_h, { transposeA: true }), heads);
    return { dqkv: concat([dq, dk, dv], 2) };
  },
};

/** A query: its sequence, head and position, and the columns where it, its keys, its values and its result begin. */
interface Query {
  readonly b: number;
  readonly head: number;
  readonly i: number;
  readonly query: number;
  readonly key: number;
  readonly value: number;
  readonly result: number;
}

function forEachQuery(
  qkv: Values,
  { heads, kvHeads, headSize, valueSize }: AttentionAttributes,
  visit: (query: Query) => void,
): void {
  const { batch, length } = sequences(qkv);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const columns = {
        query: head * headSize,
        key: (heads + kvHead) * headSize,
        value: (heads + kvHeads) * headSize + kvHead * valueSize,
        result: head * valueSize,
      };
      for (let i = 0; i < length; i++) visit({ b, head, i, ...columns });
    }
  }
}

/** B and T of a shape [B, T, E]. */
function sequences({ shape: [batch = 1, length = 1] }: { readonly shape: Shape }): { batch: number; length: number } {
  return { batch, length };
}

/** Floating-point operations of the given numbers of products along keys and along values, over the causal half of T × T. */
function products(
  qkv: TensorSpec,
  { heads, headSize, valueSize }: AttentionAttributes,
  alongKeys: number,
  alongValues: number,
): number {
  const { batch, length } = sequences(qkv);
  return batch * heads * (alongKeys * headSize + alongValues * valueSize) * length * (length + 1);
}

/** For composed forms: queries [B, kvHeads, heads / kvHeads · T, headSize], keys and values [B, kvHeads, T, ...]. */
interface SplitHeads {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly batch: number;
  readonly length: number;
}

function splitHeads(qkv: Tensor, attributes: AttentionAttributes): SplitHeads {
  const { heads, kvHeads, headSize, valueSize } = attributes;
  const { batch, length } = sequences(qkv);
  const keyHeads = (start: number, size: number): Tensor =>
    permute(reshape(slice(qkv, 2, start, kvHeads * size), [batch, length, kvHeads, size]), [0, 2, 1, 3]);
  return {
    q: queryHeads(slice(qkv, 2, 0, heads * headSize), attributes, headSize),
    k: keyHeads(heads * headSize, headSize),
    v: keyHeads((heads + kvHeads) * headSize, valueSize),
    batch,
    length,
  };
}

/** [B, T, heads · size] → [B, kvHeads, heads / kvHeads · T, size]: the query heads of a key head, one below the other. */
function queryHeads(x: Tensor, { heads, kvHeads }: AttentionAttributes, size: number): Tensor {
  const { batch, length } = sequences(x);
  const x_BHTD = permute(reshape(x, [batch, length, heads, size]), [0, 2, 1, 3]);
  return reshape(x_BHTD, [batch, kvHeads, (heads / kvHeads) * length, size]);
}

/** The inverse. */
function joinHeads(x: Tensor, { batch, length }: SplitHeads, size: number): Tensor {
  const heads = ((x.shape[1] ?? 1) * (x.shape[2] ?? 1)) / length;
  return reshape(permute(reshape(x, [batch, heads, length, size]), [0, 2, 1, 3]), [batch, length, heads * size]);
}

function joinKeyHeads(x: Tensor, { batch, length }: SplitHeads): Tensor {
  const [, kvHeads = 1, , size = 1] = x.shape;
  return reshape(permute(x, [0, 2, 1, 3]), [batch, length, kvHeads * size]);
}

/** Below every score, however large. */
const MASKED = -Infinity;

/** The scores of every query with the keys up to its position, [B, kvHeads, heads / kvHeads · T, T]. */
function causalScores({ q, k, length }: SplitHeads, { heads, kvHeads, scale }: AttentionAttributes): Tensor {
  const scores = times(batchedMatmul(q, k, { transposeB: true }), scale);
  const group = heads / kvHeads;
  const seen = reshape(broadcast(lowerTriangle(length), [group, length, length]), [group * length, length]);
  return select(broadcast(seen, scores.shape), scores, fill(scores.shape, MASKED));
}

const optionRules: FieldRules<AttentionAttributes> = {
  heads: "number",
  kvHeads: "number",
  headSize: "number",
  valueSize: "number",
  scale: "number",
};

/**
 * Causal self-attention over packed queries, keys and values.
 *
 * @param qkv [B, T, (heads + kvHeads) · headSize + kvHeads · valueSize]: query heads, key heads, value heads
 * @param options heads; kvHeads (default heads) must divide them; headSize; valueSize (default headSize);
 *   scale (default 1 / √headSize)
 * @returns [B, T, heads · valueSize]
 * @throws ShapeError when qkv does not hold these heads
 */
export function attention(
  qkv: Tensor,
  options: { heads: number; kvHeads?: number; headSize: number; valueSize?: number; scale?: number },
): Tensor {
  expectFields("attention", options, optionRules);
  const { heads, kvHeads = heads, headSize, valueSize = headSize, scale = 1 / Math.sqrt(headSize) } = options;
  return apply(attentionOperation, { qkv }, { heads, kvHeads, headSize, valueSize, scale }).out;
}
