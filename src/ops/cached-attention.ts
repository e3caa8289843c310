// Attention of single tokens over the keys and values that earlier tokens left behind.
//
//   row r, of slot s = slots[r], at position t = positions[r]:
//     keys[s, t] = k_r,  values[s, t] = v_r
//     p_j = softmax over j ≤ t of scale · q_r · keys[s, j],   o_r = Σ_j p_j values[s, j]
//
// A slot holds one text. Rows are taken in order, each sees what those before it left: rows of one slot at
// successive positions are a piece of text read at once (prefill), rows of many slots a step of many texts
// (decoding). A row whose slot is −1 is padding: it leaves nothing behind and gives zeros.
//
// Shapes: qkv [R, E], E = (heads + kvHeads) · D + kvHeads · V: the query heads, then the key heads, then the
// value heads, of D, D and V columns; query head h reads key and value head floor(h · kvHeads / heads). Keys
// [S, kvHeads, D, T], a row per column of a head, so that the scores of all positions are sums of whole rows;
// values [S, kvHeads, T, V]; positions and slots i32 [R].

import { applyAll, f32, type Operation, positional, sameShape, type Tensor } from "../graph/tensor.ts";
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

/** (qkv, keys, values, positions, slots) → (out [R, heads · V], keys, values). */
export const cachedAttentionOperation: Operation<
  ["qkv", "keys", "values", "positions", "slots"],
  ["out", "newKeys", "newValues"],
  CachedAttentionAttributes
> = positional<
  ["qkv", "keys", "values", "positions", "slots"],
  ["out", "newKeys", "newValues"],
  CachedAttentionAttributes
>({
  name: "cachedAttention",
  inputs: ["qkv", "keys", "values", "positions", "slots"],
  outputs: ["out", "newKeys", "newValues"],
  infer([qkv, keys, values, positions, slots], { heads, kvHeads, headSize, valueSize }) {
    const operands = { qkv: qkv!, keys: keys!, values: values!, positions: positions!, slots: slots! };
    const expect = (fits: boolean, rule: string): void => expectShapes(fits, "cachedAttention", operands, rule);
    const width = (heads + kvHeads) * headSize + kvHeads * valueSize;
    expect(
      qkv!.shape.length === 2 && qkv!.shape[1] === width && heads % kvHeads === 0,
      `qkv must be [R, E] with E = (heads ${heads} + kvHeads ${kvHeads}) · headSize ${headSize} + kvHeads · valueSize ${valueSize} = ${width}, and kvHeads must divide heads.`,
    );
    const [slotCount, , , length] = keys!.shape as [number, number, number, number];
    expect(
      sameShape(keys!.shape, [slotCount, kvHeads, headSize, length]) &&
        sameShape(values!.shape, [slotCount, kvHeads, length, valueSize]),
      `keys must be [S, ${kvHeads}, ${headSize}, T] and values [S, ${kvHeads}, T, ${valueSize}].`,
    );
    expect(
      [positions!, slots!].every(({ shape, dtype }) => dtype === "i32" && sameShape(shape, [qkv!.shape[0]!])),
      "positions and slots must be i32, one for each row of qkv.",
    );
    return [
      f32(qkv!.shape[0]!, heads * valueSize),
      { shape: keys!.shape, dtype: "f32" },
      { shape: values!.shape, dtype: "f32" },
    ];
  },
  flops: ({ inputs: [qkv, keys], attributes: { heads, headSize, valueSize } }) =>
    2 * qkv!.shape[0]! * heads * (headSize + valueSize) * keys!.shape[3]!,
  reference([qkv, keys, values, positions, slots], [out, newKeys, newValues], attributes) {
    const { heads, kvHeads, headSize, valueSize, scale } = attributes;
    const length = keys!.shape[3]!;
    const width = qkv!.shape[1]!;
    newKeys!.data.set(keys!.data);
    newValues!.data.set(values!.data);
    slots!.data.forEach((slot, row) => {
      if (slot < 0) return;
      const position = positions!.data[row]!;
      expectIndex("cachedAttention", slot, row, keys!.shape[0]!);
      expectIndex("cachedAttention", position, row, length);
      const own = qkv!.data.subarray(row * width, (row + 1) * width);
      /** Where the cache of a key head begins, in positions of all columns. */
      const cacheOf = (head: number): number => (slot * kvHeads + head) * length;
      for (let head = 0; head < kvHeads; head++) {
        for (let d = 0; d < headSize; d++)
          newKeys!.data[cacheOf(head) * headSize + d * length + position] = own[(heads + head) * headSize + d]!;
        for (let d = 0; d < valueSize; d++)
          newValues!.data[(cacheOf(head) + position) * valueSize + d] =
            own[(heads + kvHeads) * headSize + head * valueSize + d]!;
      }
      for (let head = 0; head < heads; head++) {
        const cache = cacheOf(Math.floor((head * kvHeads) / heads));
        const scores = Array.from({ length: position + 1 }, (_, j) => {
          let sum = 0;
          for (let d = 0; d < headSize; d++)
            sum += own[head * headSize + d]! * newKeys!.data[cache * headSize + d * length + j]!;
          return scale * sum;
        });
        const highest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - highest));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let d = 0; d < valueSize; d++)
          out!.data[(row * heads + head) * valueSize + d] =
            weights.reduce((sum, weight, j) => sum + weight * newValues!.data[(cache + j) * valueSize + d]!, 0) / total;
      }
    });
  },
});

export interface CachedAttention {
  /** [R, heads · valueSize] */
  readonly out: Tensor;
  /** The caches with the rows' keys and values in them. */
  readonly keys: Tensor;
  readonly values: Tensor;
}

/**
 * Attention of R tokens over a cache, into which their own keys and values go first.
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
  const inputs = [qkv, cache.keys, cache.values, rows.positions, rows.slots];
  const [out, keys, values] = applyAll(cachedAttentionOperation, inputs, attributes);
  return { out: out!, keys: keys!, values: values! };
}
