// Question: how does the CPU write a result into the streams?

import { streamWriteBackwardOperation, streamWriteOperation } from "../../../ops/stream-write.ts";
import { streamSizes } from "../../../ops/streams.ts";
import { ROW_TILE } from "../constants.ts";
import { type Implementation, implement, rowwise } from "../implement.ts";
import { streamWords } from "./stream-read.ts";

export const streamWrite: readonly Implementation[] = [
  rowwise(streamWriteOperation, "streamWrite", {
    rows: ({ x }) => streamSizes(x).tokens,
    words: ({ x }) => streamWords(x),
  }),
  // In two calls: the block waits for dy; dx and dh are not needed before the block's own gradient has been found, and
  // computed then they meet the rest of the streams' backward pass while x is in the cache.
  implement(streamWriteBackwardOperation, ({ x, h, y, g, dx, dy, dh }, { read, write, emit }) => {
    const rows = { domain: streamSizes(x).tokens, grain: ROW_TILE };
    const words = streamWords(x);
    emit({
      kernel: "streamWriteGather",
      ...rows,
      operands: { h: read(h, "share"), g: read(g, "share"), dy: write(dy, "share") },
      words,
    });
    emit({
      kernel: "streamWriteBackward",
      ...rows,
      operands: {
        x: read(x, "share"),
        h: read(h, "share"),
        y: read(y, "share"),
        g: read(g, "share"),
        dx: write(dx, "share"),
        dh: write(dh, "share"),
      },
      words,
      inPlace: { dx: "g" },
      lazy: true,
    });
  }),
];
