// Question: how does the CPU look rows up, and sum rows into a table?

import { lastAxis, rowCount, sizeOf } from "../../../graph/tensor.ts";
import { gatherOperation, scatterAddOperation } from "../../../ops/gather.ts";
import { SCATTER_COLUMNS } from "../constants.ts";
import { type Implementation, implement, rowwise } from "../implement.ts";

export const gather: readonly Implementation[] = [
  rowwise(gatherOperation, "gather", {
    rows: ({ indices }) => sizeOf(indices.shape),
    whole: ["table"],
    words: ({ table }) => ({ V: rowCount(table.shape), C: lastAxis(table.shape) }),
  }),
  implement(
    scatterAddOperation,
    ({ indices, g, y }, { read, write, emit }, { rows }, addend) => {
      const size = lastAxis(y.shape);
      emit({
        kernel: "scatterAdd",
        domain: Math.ceil(size / SCATTER_COLUMNS),
        grain: 1,
        operands: {
          indices: read(indices, "whole"),
          g: read(g, "whole"),
          // Shared out in columns: a task reads what it writes, so the sum may be made in place.
          addend: addend && read(addend, "share"),
          y: write(y, "share"),
        },
        words: { N: sizeOf(indices.shape), C: size, V: rows },
        inPlace: { y: "addend" },
      });
    },
    { accumulates: true },
  ),
];
