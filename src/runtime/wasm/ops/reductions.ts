// Question: how does the CPU sum elements, and repeat them?

import { lastAxis, sizeOf } from "../../../graph/tensor.ts";
import {
  broadcastLastOperation,
  broadcastOperation,
  sumLastOperation,
  sumLeadingOperation,
  sumOperation,
} from "../../../ops/reductions.ts";
import { ROW_TILE } from "../constants.ts";
import { elementwise, type Implementation, implement, rowwise, sumPartials } from "../implement.ts";
import { emitBlocks } from "./sum-squares.ts";

export const reductions: readonly Implementation[] = [
  implement(sumOperation, ({ x, y }, calls) => emitBlocks(calls, "sumBlocks", x, y, 1)),
  // Partials of the columns, one row for each tile, and the call that adds them in order.
  implement(sumLeadingOperation, ({ x, y }, calls) => {
    const { read, write, temporary, emit } = calls;
    const size = sizeOf(y.shape);
    const rows = sizeOf(x.shape) / size;
    const tiles = Math.ceil(rows / ROW_TILE);
    const partials = temporary("partials", 4 * size * tiles);
    emit({
      kernel: "sumRows",
      domain: rows,
      grain: ROW_TILE,
      operands: { x: read(x, "share"), partials: write(partials, "whole") },
      words: { size, tile: ROW_TILE },
    });
    sumPartials(calls, partials, y, tiles);
  }),
  rowwise(sumLastOperation, "sumLast", { words: ({ x }) => ({ size: lastAxis(x.shape) }) }),
  elementwise(broadcastOperation, "broadcast", { whole: ["x"], words: ({ x }) => ({ size: sizeOf(x.shape) }) }),
  rowwise(broadcastLastOperation, "broadcastLast", {
    rows: ({ x }) => sizeOf(x.shape),
    words: (_, { size }) => ({ size }),
  }),
];
