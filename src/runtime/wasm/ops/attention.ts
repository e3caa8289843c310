// Question: how does the CPU do causal attention?
//
// A task per head (forward) or per key head (backward) of every sequence.

import { type AttentionAttributes, attentionBackwardOperation, attentionOperation } from "../../../ops/attention.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import type { Words } from "../call.ts";
import { type Implementation, implement } from "../implement.ts";

/** Columns of a head at most: what the scratch of a thread holds blocks of. */
const LARGEST_HEAD = 512;

function sizes(
  operation: string,
  qkv: Tensor,
  { heads, kvHeads, headSize, valueSize, scale }: AttentionAttributes,
): { readonly batch: number; readonly words: Words<"attention"> } {
  if (Math.max(headSize, valueSize) > LARGEST_HEAD) {
    throw new RangeError(
      `${operation}: heads of ${headSize} columns and values of ${valueSize}; the CPU runtime takes ${LARGEST_HEAD} at most; use more heads, which are smaller.`,
    );
  }
  const [batch, length, width] = qkv.shape as [number, number, number];
  return { batch, words: { length, heads, kvHeads, headSize, scale, width, valueSize } };
}

export const attention: readonly Implementation[] = [
  implement(attentionOperation, ({ qkv, out, lse }, { read, write, emit }, attributes) => {
    const { batch, words } = sizes("attention", qkv, attributes);
    emit({
      kernel: "attention",
      domain: batch * attributes.heads,
      grain: 1,
      operands: { qkv: read(qkv, "whole"), out: write(out, "whole"), lse: write(lse, "whole") },
      words,
    });
  }),
  implement(attentionBackwardOperation, ({ qkv, out, lse, g, dqkv }, { read, write, emit }, attributes) => {
    const { batch, words } = sizes("attentionBackward", qkv, attributes);
    emit({
      kernel: "attentionBackward",
      domain: batch * attributes.kvHeads,
      grain: 1,
      operands: {
        qkv: read(qkv, "whole"),
        out: read(out, "whole"),
        lse: read(lse, "whole"),
        g: read(g, "whole"),
        dqkv: write(dqkv, "whole"),
      },
      words,
    });
  }),
];
