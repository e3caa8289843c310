// Question: what is the attention of single tokens over the keys and values that earlier tokens left behind?
//
//   row r, of slot s = slots[r], at position t = positions[r]:
//     keys[s, t] = k_r,  values[s, t] = v_r
//     p_j = softmax over j ≤ t of scale · q_r · keys[s, j],   o_r = Σ_j p_j values[s, j]
//
// A slot holds one text. Rows are processed in order, and each sees what earlier rows have written. Rows of one slot
// at successive positions are a piece of text read at once (prefill); rows of many slots are one step of many texts
// (decoding). A row whose slot is −1 is padding: it writes nothing and gives zeros.
//
// Shapes: qkv [R, E], E = (heads + kvHeads) · D + kvHeads · V: the query heads, then the key heads, then the
// value heads, of D, D and V columns; query head h reads key and value head floor(h · kvHeads / heads). Keys
// [S, kvHeads, D, T], a row per column of a head, so that the scores of all positions are sums of whole rows;
// values [S, kvHeads, T, V]; positions and slots i32 [R].

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
  ["qkv", "keys", "values", "positions", "slots"],
  ["out", "newKeys", "newValues"],
  CachedAttentionAttributes
> = {
  name: "cachedAttention",
  inputs: ["qkv", "keys", "values", "positions", "slots"],
  outputs: ["out", "newKeys", "newValues"],
  infer({ qkv, keys, values, positions, slots }, { heads, kvHeads, headSize, valueSize }) {
    const operands = { qkv, keys, values, positions, slots };
    const expect = (fits: boolean, rule: string): void => expectShapes(fits, "cachedAttention", operands, rule);
    const width = (heads + kvHeads) * headSize + kvHeads * valueSize;
    expect(
      qkv.shape.length === 2 && qkv.shape[1] === width && heads % kvHeads === 0,
      `qkv must be [R, E] with E = (heads ${heads} + kvHeads ${kvHeads}) · headSize ${headSize} + kvHeads · valueSize ${valueSize} = ${width}, and kvHeads must divide heads.`,
    );
    const [slotCount = 1, , , length = 1] = keys.shape;
    expect(
      sameShape(keys.shape, [slotCount, kvHeads, headSize, length]) &&
        sameShape(values.shape, [slotCount, kvHeads, length, valueSize]),
      `keys must be [S, ${kvHeads}, ${headSize}, T] and values [S, ${kvHeads}, T, ${valueSize}].`,
    );
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
  flops: ({ qkv, keys }, { heads, headSize, valueSize }) =>
    2 * rowCount(qkv.shape) * heads * (headSize + valueSize) * lastAxis(keys.shape),
  reference({ qkv, keys, values, positions, slots }, { out, newKeys, newValues }, attributes) {
    const { heads, kvHeads, headSize: D, valueSize: V, scale } = attributes;
    newKeys.data.set(keys.data);
    newValues.data.set(values.data);
    slots.data.forEach((slot, r) => {
      if (slot < 0) return;
      const t = positions.at(r);
      expectIndex("cachedAttention", slot, r, rowCount(keys.shape) / (kvHeads * D));
      expectIndex("cachedAttention", t, r, lastAxis(keys.shape));
      for (let h = 0; h < kvHeads; h++) {
        const cache = slot * kvHeads + h;
        for (let d = 0; d < D; d++) newKeys.set(cache, d, t, qkv.at(r, (heads + h) * D + d));
        for (let d = 0; d < V; d++) newValues.set(cache, t, d, qkv.at(r, (heads + kvHeads) * D + h * V + d));
      }
      for (let h = 0; h < heads; h++) {
        const cache = slot * kvHeads + Math.floor((h * kvHeads) / heads);
        const scores = Array.from({ length: t + 1 }, (_, j) => {
          let sum = 0;
          for (let d = 0; d < D; d++) sum += qkv.at(r, h * D + d) * newKeys.at(cache, d, j);
          return scale * sum;
        });
        const highest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - highest));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let d = 0; d < V; d++) {
          const along = weights.reduce((sum, weight, j) => sum + weight * newValues.at(cache, j, d), 0);
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
 * @param cache keys [S, kvHeads, headSize, T] and values [S, kvHeads, T, valueSize]
 * @param rows i32 [R]: each row's position in [0, T) and its slot in [0, S), or −1 for padding
 * @throws ShapeError when these do not fit
 */
export function cachedAttention(
  qkv: Tensor,
  cache: { readonly keys: Tensor; readonly values: Tensor },
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
  const inputs = { qkv, keys: cache.keys, values: cache.values, positions: rows.positions, slots: rows.slots };
  const { out, newKeys, newValues } = apply(cachedAttentionOperation, inputs, attributes);
  return { out, keys: newKeys, values: newValues };
}
