// Causal self-attention with grouped heads (Vaswani et al. 2017; Ainslie et al. 2023, arXiv 2305.13245).
//
//   s_ij = scale · q_i · k_j (j ≤ i),  p_ij = e^(s_ij − lse_i),  lse_i = log Σ_j e^(s_ij),  o_i = Σ_j p_ij v_j
//   dv_j = Σ_i p_ij g_i,  ds_ij = p_ij (g_i · v_j − g_i · o_i),
//   dq_i = scale · Σ_j ds_ij k_j,  dk_j = scale · Σ_i ds_ij q_i
//
// Nothing of size T × T is kept: the backward makes p again from lse (Dao et al. 2022, arXiv 2205.14135).
//
// Shapes: qkv [B, T, E], E = (heads + kvHeads) · headSize + kvHeads · valueSize: the query heads, then the key
// heads, then the value heads. Query head h reads key and value head floor(h · kvHeads / heads). Output
// [B, T, heads · valueSize], lse [B, heads, T].

import {
  applyAll,
  applyOne,
  f32,
  type Operation,
  positional,
  type Tensor,
  type TensorSpec,
  type Values,
} from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export interface AttentionAttributes {
  readonly heads: number;
  readonly kvHeads: number;
  /** Columns of a query and of a key. */
  readonly headSize: number;
  /** Columns of a value. */
  readonly valueSize: number;
  readonly scale: number;
}

export const attentionOperation: Operation<["qkv"], ["out", "lse"], AttentionAttributes> = positional<
  ["qkv"],
  ["out", "lse"],
  AttentionAttributes
>({
  name: "attention",
  inputs: ["qkv"],
  outputs: ["out", "lse"],
  infer([qkv], { heads, kvHeads, headSize, valueSize }) {
    const width = (heads + kvHeads) * headSize + kvHeads * valueSize;
    expectShapes(
      qkv!.shape.length === 3 && qkv!.shape[2] === width,
      "attention",
      { qkv: qkv! },
      `qkv must be [B, T, E] with E = (heads ${heads} + kvHeads ${kvHeads}) · headSize ${headSize} + kvHeads · valueSize ${valueSize} = ${width}.`,
    );
    expectShapes(
      heads % kvHeads === 0,
      "attention",
      { qkv: qkv! },
      `every key head serves equally many query heads, so kvHeads (${kvHeads}) must divide heads (${heads}).`,
    );
    const [batch, length] = qkv!.shape as [number, number, number];
    return [f32(batch, length, heads * valueSize), f32(batch, heads, length)];
  },
  gradient({ inputs: [qkv], outputs: [out, lse], attributes }, [g, lseGradient]) {
    if (lseGradient)
      throw new Error("attention: the second output (log-sum-exp) carries no gradient; use only the first in a loss.");
    return [applyOne(attentionBackwardOperation, [qkv!, out!, lse!, g!], attributes)];
  },
  flops: (node) => products(node, 1, 1),
  reference([qkv], [out, lse], attributes) {
    forEachQuery(qkv!, attributes, ({ query, head, batch, position, length, keyAt, valueAt }) => {
      const { heads, headSize, valueSize, scale } = attributes;
      const scores: number[] = [];
      for (let j = 0; j <= position; j++) scores.push(scale * dot(qkv!.data, query, qkv!.data, keyAt(j), headSize));
      const highest = Math.max(...scores);
      const logSum = highest + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - highest), 0));
      const o = ((batch * length + position) * heads + head) * valueSize;
      lse!.data[(batch * heads + head) * length + position] = logSum;
      for (const [j, score] of scores.entries())
        addScaled(out!.data, o, Math.exp(score - logSum), qkv!.data, valueAt(j), valueSize);
    });
  },
});

/** (qkv, out, lse, g) → dqkv. */
export const attentionBackwardOperation: Operation<["qkv", "out", "lse", "g"], ["dqkv"], AttentionAttributes> =
  positional<["qkv", "out", "lse", "g"], ["dqkv"], AttentionAttributes>({
    name: "attentionBackward",
    inputs: ["qkv", "out", "lse", "g"],
    outputs: ["dqkv"],
    infer: ([qkv]) => [{ shape: qkv!.shape, dtype: "f32" }],
    flops: (node) => products(node, 3, 2),
    reference([qkv, out, lse, g], [dqkv], attributes) {
      forEachQuery(qkv!, attributes, ({ query, head, batch, position, length, keyAt, valueAt }) => {
        const { heads, headSize, valueSize, scale } = attributes;
        const o = ((batch * length + position) * heads + head) * valueSize;
        const logSum = lse!.data[(batch * heads + head) * length + position]!;
        const along = dot(g!.data, o, out!.data, o, valueSize);
        for (let j = 0; j <= position; j++) {
          const p = Math.exp(scale * dot(qkv!.data, query, qkv!.data, keyAt(j), headSize) - logSum);
          const ds = scale * p * (dot(g!.data, o, qkv!.data, valueAt(j), valueSize) - along);
          addScaled(dqkv!.data, query, ds, qkv!.data, keyAt(j), headSize);
          addScaled(dqkv!.data, keyAt(j), ds, qkv!.data, query, headSize);
          addScaled(dqkv!.data, valueAt(j), p, g!.data, o, valueSize);
        }
      });
    },
  });

/** One query row: its index in qkv, and where its keys and values are. */
interface Query {
  readonly batch: number;
  readonly head: number;
  readonly position: number;
  readonly length: number;
  readonly query: number;
  keyAt(position: number): number;
  valueAt(position: number): number;
}

function forEachQuery(
  { shape }: Values,
  { heads, kvHeads, headSize, valueSize }: AttentionAttributes,
  visit: (query: Query) => void,
): void {
  const [batches, length, width] = shape as [number, number, number];
  for (let batch = 0; batch < batches; batch++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const at = (position: number, column: number): number => (batch * length + position) * width + column;
      for (let position = 0; position < length; position++) {
        visit({
          batch,
          head,
          position,
          length,
          query: at(position, head * headSize),
          keyAt: (j) => at(j, (heads + kvHead) * headSize),
          valueAt: (j) => at(j, (heads + kvHeads) * headSize + kvHead * valueSize),
        });
      }
    }
  }
}

function dot(a: Float64Array, i: number, b: Float64Array, j: number, count: number): number {
  let sum = 0;
  for (let c = 0; c < count; c++) sum += a[i + c]! * b[j + c]!;
  return sum;
}

function addScaled(
  target: Float64Array,
  i: number,
  factor: number,
  source: Float64Array,
  j: number,
  count: number,
): void {
  for (let c = 0; c < count; c++) target[i + c]! += factor * source[j + c]!;
}

/** Floating-point operations of so many products along keys and along values over the causal half of T × T. */
function products(
  {
    inputs: [qkv],
    attributes: { heads, headSize, valueSize },
  }: { inputs: readonly TensorSpec[]; attributes: AttentionAttributes },
  alongKeys: number,
  alongValues: number,
): number {
  const [batch, length] = qkv!.shape as [number, number, number];
  return batch * heads * (alongKeys * headSize + alongValues * valueSize) * length * (length + 1);
}

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
  {
    heads,
    kvHeads = heads,
    headSize,
    valueSize = headSize,
    scale = 1 / Math.sqrt(headSize),
  }: { heads: number; kvHeads?: number; headSize: number; valueSize?: number; scale?: number },
): Tensor {
  return applyAll(attentionOperation, [qkv], { heads, kvHeads, headSize, valueSize, scale })[0]!;
}
