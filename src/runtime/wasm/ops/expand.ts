// Question: how does the CPU make streams of channels, and channels of streams?

import { collapseOperation, expandOperation } from "../../../ops/expand.ts";
import { streamSizes } from "../../../ops/streams.ts";
import { type Implementation, rowwise } from "../implement.ts";
import { streamWords } from "./stream-read.ts";

export const expand: readonly Implementation[] = [
  rowwise(expandOperation, "expand", { words: ({ x }, { scale }) => ({ ...streamWords(x), scale }) }),
  rowwise(collapseOperation, "collapse", {
    rows: ({ x }) => streamSizes(x).tokens,
    words: ({ x }, { scale }) => ({ ...streamWords(x), scale }),
  }),
];
