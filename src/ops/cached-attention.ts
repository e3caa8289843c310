// Question: what is the attention of single tokens over the keys and values that earlier tokens left behind?
//
//   row r, of slot s = slots[r], at position t = positions[r]; place(s, j) is column j mod B of block blocks[s, ⌊j / B⌋]:
//     keys[place(s, t)] = k_r,  values[place(s, t)] = v_r
//     p_j = softmax over j ≤ t of scale · q_r · keys[place(s, j)],   o_r = Σ_j p_j values[place(s, j)]
//
// A slot holds one text, in blocks of B positions. Rows are processed in order, and each sees what earlier rows have
// written. Rows of one slot at successive positions are a piece of text read at once (prefill); rows of many slots are
// one step of many texts (decoding). A row whose slot is −1 is padding: it writes nothing and gives zeros. Texts with a
// common beginning may share its blocks; into a block that rows of one slot write, no row of another slot may look.
//
// Shapes: qkv [R, E], E = (heads + kvHeads) · D + kvHeads · V: the query heads, then the key heads, then the
// value heads, of D, D and V columns; query head h reads key and value head floor(h · kvHeads / heads). Keys
// [P, kvHeads, D, B], a row per column of a head, so that the scores of a block's positions are sums of whole rows;
// values [P, kvHeads, B, V]; positions and slots i32 [R]; blocks i32 [S, N], for texts of up to T = N · B tokens.

import { apply, f32, lastAxis, type Operation, rowCount, sameShape, type Tensor } from "../graph/tensor.ts";
import { composedCachedAttention } from "./cached-attention-composed.ts";
import { expectIndex } from "./indices.ts";
import { expectShapes } from "./shapes.ts";

export interface CachedAttentionAttributes {
  readonly heads: number;
  readonly kvHeads: number;
  /** D: columns of a query and of a key. */
  readonly headSize: number;
  /** V: columns of a value. */
  readonly valueSize: number;
  readonly scale: number;
}

export const cachedAttentionOperation: Operation<
  ["qkv", "keys", "values", "blocks", "positions", "slots"],
  ["out", "newKeys", "newValues"],
  CachedAttentionAttributes
> = {
  name: "cachedAttention",
  inputs: ["qkv", "keys", "values", "blocks", "positions", "slots"],
  outputs: ["out", "newKeys", "newValues"],
  infer({ qkv, keys, values, blocks, positions, slots }, { heads, kvHeads, headSize, valueSize }) {
    const operands = { qkv, keys, values, blocks, positions, slots };
    const expect = (fits: boolean, rule: string): void => expectShapes(fits, "cachedAttention", operands, rule);
    const width = (heads + kvHeads) * headSize + kvHeads * valueSize;
    expect(
      qkv.shape.length === 2 && qkv.shape[1] === width && heads % kvHeads === 0,
      `qkv must be [R, E] with E = (heads ${heads} + kvHeads ${kvHeads}) · headSize ${headSize} + kvHeads · valueSize ${valueSize} = ${width}, and kvHeads must divide heads.`,
    );
    const [count = 1, , , size = 1] = keys.shape;
    expect(
      sameShape(keys.shape, [count, kvHeads, headSize, size]) &&
        sameShape(values.shape, [count, kvHeads, size, valueSize]),
      `keys must be [P, ${kvHeads}, ${headSize}, B] and values [P, ${kvHeads}, B, ${valueSize}].`,
    );
    expect(blocks.dtype === "i32" && blocks.shape.length === 2, "blocks must be i32 [S, N].");
    expect(
      [positions, slots].every(({ shape, dtype }) => dtype === "i32" && sameShape(shape, qkv.shape.slice(0, 1))),
      "positions and slots must be i32, one for each row of qkv.",
    );
    return {
      out: f32(rowCount(qkv.shape), heads * valueSize),
      newKeys: { shape: keys.shape, dtype: "f32" },
      newValues: { shape: values.shape, dtype: "f32" },
    };
  },
  flops: ({ qkv, keys, blocks }, { heads, headSize, valueSize }) =>
    2 * rowCount(qkv.shape) * heads * (headSize + valueSize) * lastAxis(blocks.shape) * lastAxis(keys.shape),
  reference({ qkv, keys, values, blocks, positions, slots }, { out, newKeys, newValues }, attributes) {
    const { heads, kvHeads, headSize: D, valueSize: V, scale } = attributes;
    const [count, B] = [rowCount(keys.shape) / (kvHeads * D), lastAxis(keys.shape)];
    newKeys.data.set(keys.data);
    newValues.data.set(values.data);
    slots.data.forEach((slot, r) => {
      if (slot < 0) return;
      const t = positions.at(r);
      expectIndex("cachedAttention", slot, r, rowCount(blocks.shape));
      expectIndex("cachedAttention", t, r, lastAxis(blocks.shape) * B);
      /** The head's part of the block that holds a position. */
      const partOf = (j: number, head: number): number => {
        const block = blocks.at(slot, Math.floor(j / B));
        expectIndex("cachedAttention", block, r, count);
        return block * kvHeads + head;
      };
      for (let h = 0; h < kvHeads; h++) {
        const part = partOf(t, h);
        for (let d = 0; d < D; d++) newKeys.set(part, d, t % B, qkv.at(r, (heads + h) * D + d));
        for (let d = 0; d < V; d++) newValues.set(part, t % B, d, qkv.at(r, (heads + kvHeads) * D + h * V + d));
      }
      for (let h = 0; h < heads; h++) {
        const parts = Array.from({ length: t + 1 }, (_, j) => partOf(j, Math.floor((h * kvHeads) / heads)));
        const scores = Array.from({ length: t + 1 }, (_, j) => {
          let sum = 0;
          for (let d = 0; d < D; d++) sum += qkv.at(r, h * D + d) * newKeys.at(parts[j]!, d, j % B);
          return scale * sum;
        });
        const highest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - highest));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let d = 0; d < V; d++) {
          const along = weights.reduce((sum, weight, j) => sum + weight * newValues.at(parts[j]!, j % B, d), 0);
          out.set(r, h * V + d, along / total);
        }
      }
    });
  },
  compose: composedCachedAttention,
};

export interface CachedAttention {
  /** [R, heads · valueSize] */
  readonly out: Tensor;
  /** The caches with the rows' keys and values in them. */
  readonly keys: Tensor;
  readonly values: Tensor;
}

/**
 * Attention of R tokens over a cache. Their own keys and values are written into the cache first.
 *
 * @param qkv [R, (heads + kvHeads) · headSize + kvHeads · valueSize]: query heads, key heads, value heads
 * @param cache keys [P, kvHeads, headSize, B] and values [P, kvHeads, B, valueSize], P blocks of B positions; blocks
 *   i32 [S, N]: the block of each N-th part of a slot's text
 * @param rows i32 [R]: each row's position in [0, N · B) and its slot in [0, S), or −1 for padding
 * @throws ShapeError when these do not fit
 */
export function cachedAttention(
  qkv: Tensor,
  cache: { readonly keys: Tensor; readonly values: Tensor; readonly blocks: Tensor },
  rows: { readonly positions: Tensor; readonly slots: Tensor },
  {
    heads,
    kvHeads = heads,
    headSize,
    valueSize = headSize,
    scale = 1 / Math.sqrt(headSize),
  }: { heads: number; kvHeads?: number; headSize: number; valueSize?: number; scale?: number },
): CachedAttention {
  const attributes = { heads, kvHeads, headSize, valueSize, scale };
  const { keys, values, blocks } = cache;
  const inputs = { qkv, keys, values, blocks, positions: rows.positions, slots: rows.slots };
  const { out, newKeys, newValues } = apply(cachedAttentionOperation, inputs, attributes);
  return { out, keys: newKeys, values: newValues };
}
