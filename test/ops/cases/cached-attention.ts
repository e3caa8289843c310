// Rows of several slots, at the ends of their caches and in the middle, in one block each and in several.

import { cachedAttention } from "../../../src/ops/cached-attention.ts";
import type { OperationCase } from "../case.ts";

/** Rows of three slots in any order, two of one slot, one of padding; caches full of numbers. */
function cachedAttentionCase(
  length: number,
  heads: number,
  kvHeads: number,
  headSize: number,
  { valueSize = headSize, each = 1 }: { valueSize?: number; each?: number } = {},
): OperationCase {
  const [rows, slots] = [5, 3];
  const size = Math.ceil(length / each);
  // In no order, and one block that nobody uses; texts 0 and 1 share their first block where they have several.
  const count = slots * each + 1;
  const blockOf = (i: number): number => (each > 1 && i === each ? 3 % count : (3 + 7 * i) % count);
  const positions = [0, length - 1, length >> 1, 0, (length >> 1) + (length > 1 ? 1 : 0)];
  const slotOf = [2, 1, 0, -1, 0];
  return {
    name: `cachedAttention over ${length} in ${each}, ${heads} heads of ${headSize} and ${valueSize} over ${kvHeads}`,
    inputs: {
      qkv: { shape: [rows, (heads + kvHeads) * headSize + kvHeads * valueSize] },
      keys: { shape: [count, kvHeads, headSize, size] },
      values: { shape: [count, kvHeads, size, valueSize] },
      blocks: { shape: [slots, each], dtype: "i32", values: (_, i) => blockOf(i) },
      positions: { shape: [rows], dtype: "i32", values: (_, i) => positions[i]! },
      slots: { shape: [rows], dtype: "i32", values: (_, i) => slotOf[i]! },
    },
    constant: ["qkv", "keys", "values"],
    build: ({ qkv, keys, values, blocks, positions, slots }) => {
      const cache = { keys: keys!, values: values!, blocks: blocks! };
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
  cachedAttentionCase(21, 4, 2, 6, { valueSize: 9 }),
  cachedAttentionCase(30, 3, 1, 50, { valueSize: 40 }),
  cachedAttentionCase(26, 4, 2, 10, { each: 4 }),
  cachedAttentionCase(64, 4, 2, 16, { each: 4 }),
  cachedAttentionCase(160, 2, 1, 20, { valueSize: 33, each: 5 }),
];
