// Question: how does the CPU attend to a cache?
//
// A task per key head of every slot. Of the caches a task touches only its own part: they may be written in their
// place.

import { cachedAttentionOperation } from "../../../ops/cached-attention.ts";
import { type Implementation, implement } from "../implement.ts";

/** A query, its scores and a result that fit into a thread's scratch. */
const LARGEST = 260_000;

export const cachedAttention: readonly Implementation[] = [
  implement(cachedAttentionOperation, (tensors, { read, write, emit }, attributes) => {
    const { qkv, keys, values, positions, slots, out, newKeys, newValues } = tensors;
    const [rows, slotCount, length] = [qkv.shape[0], keys.shape[0], keys.shape[3]] as [number, number, number];
    const { heads, kvHeads, headSize, valueSize, scale } = attributes;
    if (length + headSize + valueSize > LARGEST) {
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
        keys: read(keys, "share"),
        values: read(values, "share"),
        positions: read(positions, "whole"),
        slots: read(slots, "whole"),
        out: write(out, "whole"),
        newKeys: write(newKeys, "share"),
        newValues: write(newValues, "share"),
      },
      words: { slotCount, rows, length, heads, kvHeads, headSize, valueSize, scale },
      inPlace: { newKeys: "keys", newValues: "values" },
    });
  }),
];
