// Question: how does the CPU read the streams?
//
// Items are tokens, whatever the number of streams, so that all stream operations chain on a tile of tokens.

import type { Tensor } from "../../../graph/tensor.ts";
import { streamReadBackwardOperation, streamReadOperation } from "../../../ops/stream-read.ts";
import { streamSizes } from "../../../ops/streams.ts";
import { ROW_TILE } from "../constants.ts";
import type { Words } from "../call.ts";
import { type Implementation, implement, rowwise } from "../implement.ts";

/** n and C of streams. */
export function streamWords(x: Tensor): Words<"streamRead"> {
  const { streams, channels } = streamSizes(x);
  return { n: streams, C: channels };
}

export const streamRead: readonly Implementation[] = [
  rowwise(streamReadOperation, "streamRead", {
    rows: ({ x }) => streamSizes(x).tokens,
    words: ({ x }) => streamWords(x),
  }),
  implement(
    streamReadBackwardOperation,
    ({ x, h, du, dx, dh }, { read, write, emit }, _, addend) =>
      emit({
        kernel: "streamReadBackward",
        domain: streamSizes(x).tokens,
        grain: ROW_TILE,
        operands: {
          x: read(x, "share"),
          h: read(h, "share"),
          du: read(du, "share"),
          dx: write(dx, "share"),
          dh: write(dh, "share"),
          addend: addend && read(addend, "share"),
        },
        words: streamWords(x),
        inPlace: { dx: "addend" },
      }),
    { accumulates: true },
  ),
];
