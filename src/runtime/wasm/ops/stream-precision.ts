// Question: how does the CPU narrow streams to bfloat16, and widen them?

import type { Tensor } from "../../../graph/tensor.ts";
import { streamNarrowOperation, streamWidenOperation } from "../../../ops/stream-precision.ts";
import { streamSizes } from "../../../ops/streams.ts";
import { ROW_TILE } from "../constants.ts";
import { type Implementation, implement, rowwise } from "../implement.ts";

function floatsOfToken(x: Tensor): { readonly K: number } {
  const { streams, channels } = streamSizes(x);
  return { K: streams * channels };
}

export const streamPrecision: readonly Implementation[] = [
  rowwise(streamNarrowOperation, "streamNarrow", {
    rows: ({ x }) => streamSizes(x).tokens,
    words: ({ x }) => floatsOfToken(x),
  }),
  implement(streamWidenOperation, ({ narrow, x }, { read, write, emit }) =>
    emit({
      kernel: "streamWiden",
      domain: streamSizes(narrow).tokens,
      grain: ROW_TILE,
      operands: { narrow: read(narrow, "share"), x: write(x, "share") },
      words: floatsOfToken(narrow),
      repeated: true,
    }),
  ),
];
