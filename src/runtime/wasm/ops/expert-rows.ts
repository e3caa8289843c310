// Question: how does the CPU bring tokens to their experts?

import { lastAxis, rowCount, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { expertRowsOperation, tokenSumOperation } from "../../../ops/expert-rows.ts";
import { ROW_TILE } from "../constants.ts";
import type { Words } from "../call.ts";
import { type Implementation, implement } from "../implement.ts";

/** How many pairs there are, how many a token has, and channels; `pairs` has a number for each pair. */
export function pairWords(pairs: Tensor, x: Tensor): Words<"expertRows"> {
  return { pairs: sizeOf(pairs.shape), k: lastAxis(pairs.shape), C: lastAxis(x.shape) };
}

export const expertRows: readonly Implementation[] = [
  implement(expertRowsOperation, ({ x, order, position, y }, { read, write, emit }) =>
    emit({
      kernel: "expertRows",
      domain: rowCount(y.shape),
      grain: ROW_TILE,
      operands: { x: read(x, "whole"), order: read(order, "share"), y: write(y, "share") },
      words: pairWords(position, x),
    }),
  ),
  // Sums with weights of one.
  implement(tokenSumOperation, ({ x, position, y }, { read, write, emit }) =>
    emit({
      kernel: "expertSum",
      domain: rowCount(y.shape),
      grain: ROW_TILE,
      operands: {
        x: read(x, "whole"),
        position: read(position, "share"),
        weights: undefined,
        y: write(y, "share"),
      },
      words: pairWords(position, x),
    }),
  ),
];
