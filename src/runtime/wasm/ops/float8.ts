// Question: how does the CPU round factors to 8 bits?

import { lastAxis, rowCount } from "../../../graph/tensor.ts";
import { roundToFloat8Operation, rowsOfMatrix } from "../../../ops/float8.ts";
import { ROW_TILE } from "../constants.ts";
import { type Implementation, implement } from "../implement.ts";

export const float8: readonly Implementation[] = [
  implement(roundToFloat8Operation, ({ x, y }, { read, write, emit }, block) => {
    const rows = rowCount(x.shape);
    const matrixRows = rowsOfMatrix(x, block);
    const rowwise = block.rows === 1;
    emit({
      kernel: "roundToFloat8",
      domain: (rows / matrixRows) * Math.ceil(matrixRows / block.rows),
      grain: rowwise ? ROW_TILE : 1,
      operands: { x: read(x, rowwise ? "share" : "whole"), y: write(y, rowwise ? "share" : "whole") },
      words: { columns: lastAxis(x.shape), matrixRows, blockRows: block.rows, blockColumns: block.columns },
    });
  }),
];
