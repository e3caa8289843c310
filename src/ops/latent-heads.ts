// Question: how do the queries, keys and values of multi-head latent attention become heads (DeepSeek-V2, arXiv
// 2405.04434, eq. 37 to 47)?
//
//   key of head h = [ r | c_h ]     r: the rotated part, one for all heads;  c_h: the content of head h
//
// so the operation lays out [ q_1 … q_H | r c_1 … r c_H | v_1 … v_H ], which attention() takes. Its gradient takes
// the parts out again; the gradient of r is the sum over heads. Queries arrive complete, each [ r | c ].
//
// Shapes: q [..., H·(R + K)], kv [..., H·(K + V)] with [ c_h | v_h ] for each head, r [..., R];
// output [..., 2·H·(R + K) + H·V].

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { apply, f32, lastAxis, type Operation, rowCount, sizeOf, type Tensor } from "../graph/tensor.ts";
import { concat } from "./concat.ts";
import { transpose } from "./permute.ts";
import { broadcastLast, sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";
import { slice } from "./slice.ts";

/** Sizes of the heads of latent attention. */
export interface LatentHeadsAttributes {
  /** H */
  readonly heads: number;
  /** R: columns of a head that carry the position. */
  readonly rotarySize: number;
  /** K: columns of a head that carry content. */
  readonly contentSize: number;
  /** V */
  readonly valueSize: number;
}

export const latentHeadsOperation: Operation<["q", "kv", "r"], ["qkv"], LatentHeadsAttributes> = {
  name: "latentHeads",
  inputs: ["q", "kv", "r"],
  outputs: ["qkv"],
  infer({ q, kv, r }, attributes) {
    const { heads, rotarySize, contentSize, valueSize } = attributes;
    expectShapes(
      lastAxis(q.shape) === heads * (rotarySize + contentSize) &&
        lastAxis(kv.shape) === heads * (contentSize + valueSize) &&
        lastAxis(r.shape) === rotarySize &&
        [kv, r].every(({ shape }) => rowCount(shape) === rowCount(q.shape)),
      "latentHeads",
      { q, kv, r },
      `with ${heads} heads of rotarySize ${rotarySize}, contentSize ${contentSize} and valueSize ${valueSize} the last axes must be ${heads * (rotarySize + contentSize)}, ${heads * (contentSize + valueSize)} and ${rotarySize}, and the rows as many.`,
    );
    return { qkv: { shape: [...q.shape.slice(0, -1), widthOf(attributes)], dtype: "f32" } };
  },
  gradient({ q, kv, r }, { qkv: g }, attributes) {
    const { dq, dkv, dr } = apply(latentHeadsBackwardOperation, { g }, attributes);
    return { q: reshape(dq, q.shape), kv: reshape(dkv, kv.shape), r: reshape(dr, r.shape) };
  },
  flops: () => 0,
  reference({ q, kv, r }, { qkv }, attributes) {
    forEachPart(qkv.size, attributes, {
      q: (at, from) => qkv.set(at, q.at(from)),
      kv: (at, from) => qkv.set(at, kv.at(from)),
      r: (at, from) => qkv.set(at, r.at(from)),
    });
  },
  compose({ q, kv, r }, { heads, rotarySize, contentSize, valueSize }) {
    const rows = rowCount(q.shape);
    const pairs = reshape(kv, [rows, heads, contentSize + valueSize]);
    const rotated = transpose(broadcastLast(reshape(r, [rows, rotarySize]), heads));
    const keys = concat([rotated, slice(pairs, 2, 0, contentSize)], 2);
    const values = slice(pairs, 2, contentSize, valueSize);
    const parts = [q, keys, values].map((part) => reshape(part, [rows, sizeOf(part.shape) / rows]));
    const qkv = concat(parts, 1);
    return { qkv: reshape(qkv, [...q.shape.slice(0, -1), lastAxis(qkv.shape)]) };
  },
};

export const latentHeadsBackwardOperation: Operation<["g"], ["dq", "dkv", "dr"], LatentHeadsAttributes> = {
  name: "latentHeadsBackward",
  inputs: ["g"],
  outputs: ["dq", "dkv", "dr"],
  infer({ g }, { heads, rotarySize, contentSize, valueSize }) {
    const rows = g.shape.slice(0, -1);
    return {
      dq: f32(...rows, heads * (rotarySize + contentSize)),
      dkv: f32(...rows, heads * (contentSize + valueSize)),
      dr: f32(...rows, rotarySize),
    };
  },
  flops: ({ dr }, { heads }) => heads * sizeOf(dr.shape),
  reference({ g }, { dq, dkv, dr }, attributes) {
    forEachPart(g.size, attributes, {
      q: (at, to) => dq.set(to, g.at(at)),
      kv: (at, to) => dkv.set(to, g.at(at)),
      r: (at, to) => dr.add(to, g.at(at)),
    });
  },
  compose({ g }, { heads, rotarySize, contentSize, valueSize }) {
    const leading = g.shape.slice(0, -1);
    const head = rotarySize + contentSize;
    const part = (start: number, size: number): Tensor =>
      reshape(slice(g, leading.length, start, heads * size), [rowCount(g.shape), heads, size]);
    const keys = part(heads * head, head);
    const pairs = concat([slice(keys, 2, rotarySize, contentSize), part(2 * heads * head, valueSize)], 2);
    return {
      dq: slice(g, leading.length, 0, heads * head),
      dkv: reshape(pairs, [...leading, heads * (contentSize + valueSize)]),
      dr: reshape(sumLast(transpose(slice(keys, 2, 0, rotarySize))), [...leading, rotarySize]),
    };
  },
};

function widthOf({ heads, rotarySize, contentSize, valueSize }: LatentHeadsAttributes): number {
  return heads * (2 * (rotarySize + contentSize) + valueSize);
}

type Move = (packed: number, part: number) => void;

/** Visit every element of the packed tensor, with its place in its part. */
function forEachPart(
  size: number,
  attributes: LatentHeadsAttributes,
  move: { readonly q: Move; readonly kv: Move; readonly r: Move },
): void {
  const { heads, rotarySize, contentSize, valueSize } = attributes;
  const width = widthOf(attributes);
  const head = rotarySize + contentSize;
  for (let at = 0; at < size; at++) {
    const row = Math.floor(at / width);
    const column = at % width;
    const key = column - heads * head;
    const value = key - heads * head;
    const pair = (h: number, c: number): number => (row * heads + h) * (contentSize + valueSize) + c;
    if (key < 0) move.q(at, row * heads * head + column);
    else if (value >= 0) move.kv(at, pair(Math.floor(value / valueSize), contentSize + (value % valueSize)));
    else if (key % head < rotarySize) move.r(at, row * rotarySize + (key % head));
    else move.kv(at, pair(Math.floor(key / head), (key % head) - rotarySize));
  }
}

const sizeRules: FieldRules<LatentHeadsAttributes> = {
  heads: "number",
  rotarySize: "number",
  contentSize: "number",
  valueSize: "number",
};

/**
 * Queries, keys and values of latent attention, packed for `attention` with headSize R + K.
 *
 * @param q [..., heads · (R + K)], each head's rotated columns first
 * @param kv [..., heads · (K + V)], each head's content key, then its value
 * @param r [..., R], the rotated part of the key, shared by all heads
 * @returns [..., heads · (2 (R + K) + V)]
 * @throws ShapeError when the parts do not fit the sizes
 */
export function latentHeads(q: Tensor, kv: Tensor, r: Tensor, sizes: LatentHeadsAttributes): Tensor {
  expectFields("latentHeads", sizes, sizeRules, "size");
  const { heads, rotarySize, contentSize, valueSize } = sizes;
  return apply(latentHeadsOperation, { q, kv, r }, { heads, rotarySize, contentSize, valueSize }).qkv;
}
