// How do the queries, keys and values of multi-head latent attention become heads (DeepSeek-V2, arXiv
// 2405.04434, eq. 37 to 47)?
//
//   key of head h = [ r | c_h ]     r: the rotated part, one for all heads;  c_h: the content of head h
//
// so the operation lays out [ q_1 … q_H | r c_1 … r c_H | v_1 … v_H ], which is what attention() takes; its
// gradient takes the parts out again, that of r being the sum over heads. Queries come whole, each [ r | c ].
//
// Shapes: q [..., H·(R + K)], kv [..., H·(K + V)] with [ c_h | v_h ] for each head, r [..., R];
// output [..., 2·H·(R + K) + H·V].

import {
  applyAll,
  applyOne,
  f32,
  lastAxis,
  type Operation,
  positional,
  rowCount,
  sizeOf,
  type Tensor,
} from "../graph/tensor.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";

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

/** (q, kv, r) → qkv. */
export const latentHeadsOperation: Operation<["q", "kv", "r"], ["qkv"], LatentHeadsAttributes> = positional<
  ["q", "kv", "r"],
  ["qkv"],
  LatentHeadsAttributes
>({
  name: "latentHeads",
  inputs: ["q", "kv", "r"],
  outputs: ["qkv"],
  infer([q, kv, r], attributes) {
    const { heads, rotarySize, contentSize, valueSize } = attributes;
    expectShapes(
      lastAxis(q!.shape) === heads * (rotarySize + contentSize) &&
        lastAxis(kv!.shape) === heads * (contentSize + valueSize) &&
        lastAxis(r!.shape) === rotarySize &&
        [kv!, r!].every(({ shape }) => rowCount(shape) === rowCount(q!.shape)),
      "latentHeads",
      { q: q!, kv: kv!, r: r! },
      `with ${heads} heads of rotarySize ${rotarySize}, contentSize ${contentSize} and valueSize ${valueSize} the last axes must be ${heads * (rotarySize + contentSize)}, ${heads * (contentSize + valueSize)} and ${rotarySize}, and the rows as many.`,
    );
    return [{ shape: [...q!.shape.slice(0, -1), widthOf(attributes)], dtype: "f32" }];
  },
  gradient: ({ inputs, attributes }, [g]) =>
    applyAll(latentHeadsBackwardOperation, [g!], attributes).map((part, index) => reshape(part, inputs[index]!.shape)),
  flops: () => 0,
  reference([q, kv, r], [qkv], attributes) {
    forEachPart(qkv!.data.length, attributes, {
      q: (at, from) => void (qkv!.data[at] = q!.data[from]!),
      kv: (at, from) => void (qkv!.data[at] = kv!.data[from]!),
      r: (at, from) => void (qkv!.data[at] = r!.data[from]!),
    });
  },
});

/** g → (dq, dkv, dr). */
export const latentHeadsBackwardOperation: Operation<["g"], ["dq", "dkv", "dr"], LatentHeadsAttributes> = positional<
  ["g"],
  ["dq", "dkv", "dr"],
  LatentHeadsAttributes
>({
  name: "latentHeadsBackward",
  inputs: ["g"],
  outputs: ["dq", "dkv", "dr"],
  infer([g], { heads, rotarySize, contentSize, valueSize }) {
    const rows = g!.shape.slice(0, -1);
    const sizes = [heads * (rotarySize + contentSize), heads * (contentSize + valueSize), rotarySize];
    return sizes.map((size) => f32(...rows, size));
  },
  flops: ({ outputs: [, , dr], attributes: { heads } }) => heads * sizeOf(dr!.shape),
  reference([g], [dq, dkv, dr], attributes) {
    forEachPart(g!.data.length, attributes, {
      q: (at, to) => void (dq!.data[to] = g!.data[at]!),
      kv: (at, to) => void (dkv!.data[to] = g!.data[at]!),
      r: (at, to) => void (dr!.data[to]! += g!.data[at]!),
    });
  },
});

function widthOf({ heads, rotarySize, contentSize, valueSize }: LatentHeadsAttributes): number {
  return heads * (2 * (rotarySize + contentSize) + valueSize);
}

type Move = (packed: number, part: number) => void;

/** Every element of the packed tensor, and where it lies in its part. */
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
  const { heads, rotarySize, contentSize, valueSize } = sizes;
  return applyOne(latentHeadsOperation, [q, kv, r], { heads, rotarySize, contentSize, valueSize });
}
