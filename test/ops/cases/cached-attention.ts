// Rows of several slots, at the ends of their caches and in the middle.

import { cachedAttention } from "../../../src/ops/cached-attention.ts";
import type { OperationCase } from "../case.ts";

/** Rows of three slots in any order, two of one slot, one of padding; caches full of numbers. */
function cachedAttentionCase(
  length: number,
  heads: number,
  kvHeads: number,
  headSize: number,
  valueSize: number = headSize,
): OperationCase {
  const [rows, slots] = [5, 3];
  const positions = [0, length - 1, length >> 1, 0, (length >> 1) + (length > 1 ? 1 : 0)];
  const slotOf = [2, 1, 0, -1, 0];
  return {
    name: `cachedAttention over ${length}, ${heads} heads of ${headSize} and ${valueSize} over ${kvHeads}`,
    inputs: {
      qkv: { shape: [rows, (heads + kvHeads) * headSize + kvHeads * valueSize] },
      keys: { shape: [slots, kvHeads, headSize, length] },
      values: { shape: [slots, kvHeads, length, valueSize] },
      positions: { shape: [rows], dtype: "i32", values: (_, i) => positions[i]! },
      slots: { shape: [rows], dtype: "i32", values: (_, i) => slotOf[i]! },
    },
    constant: ["qkv", "keys", "values"],
    build: ({ qkv, keys, values, positions, slots }) => {
      const cache = { keys: keys!, values: values! };
      const rows = { positions: positions!, slots: slots! };
      const { out, ...next } = cachedAttention(qkv!, cache, rows, { heads, kvHeads, headSize, valueSize });
      return [out, next.keys, next.values];
    },
  };
}

export const cachedAttentionCases: readonly OperationCase[] = [
  cachedAttentionCase(1, 1, 1, 4),
  cachedAttentionCase(13, 4, 2, 10),
  cachedAttentionCase(40, 3, 3, 33),
  cachedAttentionCase(259, 4, 1, 64),
  cachedAttentionCase(21, 4, 2, 6, 9),
  cachedAttentionCase(30, 3, 1, 50, 40),
];
