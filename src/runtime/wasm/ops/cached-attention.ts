// Question: how does the CPU attend to a cache?
//
// A task per key head of every slot. It writes only into blocks of its own slot, so the caches may be written in their
// place; where they lie elsewhere, the tasks of slot 0 do the work of all.

import { cachedAttentionOperation } from "../../../ops/cached-attention.ts";
import { type Implementation, implement } from "../implement.ts";

/** A query, its scores and a result that fit into a thread's scratch. */
const LARGEST = 260_000;

export const cachedAttention: readonly Implementation[] = [
  implement(cachedAttentionOperation, (tensors, { read, write, emit }, attributes) => {
    const { qkv, keys, values, blocks, positions, slots, out, newKeys, newValues } = tensors;
    const [blockCount, , , blockSize] = keys.shape as [number, number, number, number];
    const [slotCount, blocksOfText] = blocks.shape as [number, number];
    const length = blocksOfText * blockSize;
    const { heads, kvHeads, headSize, valueSize, scale } = attributes;
    if (length + blocksOfText + headSize + valueSize > LARGEST) {
      throw new RangeError(
        `cachedAttention: a cache of ${length} positions, keys of ${headSize} columns and values of ${valueSize}; the CPU runtime takes ${LARGEST} of these together; use a shorter context.`,
      );
    }
    emit({
      kernel: "cachedAttention",
      domain: slotCount * kvHeads,
      grain: 1,
      operands: {
        qkv: read(qkv, "whole"),
        keys: read(keys, "whole"),
        values: read(values, "whole"),
        blocks: read(blocks, "whole"),
        positions: read(positions, "whole"),
        slots: read(slots, "whole"),
        out: write(out, "whole"),
        newKeys: write(newKeys, "whole"),
        newValues: write(newValues, "whole"),
      },
      words: {
        slotCount,
        rows: qkv.shape[0]!,
        blockCount,
        blockSize,
        blocksOfText,
        heads,
        kvHeads,
        headSize,
        valueSize,
        scale,
      },
      inPlace: { newKeys: "keys", newValues: "values" },
    });
  }),
];
