// Question: how does a GPU round factors to 8 bits? One thread a block: first its largest magnitude, then its values.

import { lastAxis, rowCount } from "../../../graph/tensor.ts";
import { roundToFloat8Operation, rowsOfMatrix } from "../../../ops/float8.ts";
import { calls, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";

export const float8: readonly Implementation[] = [
  calls(roundToFloat8Operation, ({ x, y }, block, context) => {
    const [rows, columns] = [rowCount(x.shape), lastAxis(x.shape)];
    const matrixRows = rowsOfMatrix(x, block);
    const [down, across] = [Math.ceil(matrixRows / block.rows), Math.ceil(columns / block.columns)];
    const count = (rows / matrixRows) * down * across;
    context.emit(
      kernelCall({
        name: "roundToFloat8",
        reads: { x: operand(context, x) },
        writes: { y: operand(context, y) },
        width: WIDTH,
        groups: Math.ceil(count / WIDTH),
        body: `
  let block: u32 = group * ${u(WIDTH)} + lane;
  if (block < ${u(count)}) {
    let matrix: u32 = block / ${u(down * across)};
    let first: u32 = (block / ${u(across)}) % ${u(down)} * ${u(block.rows)};
    let left: u32 = (block % ${u(across)}) * ${u(block.columns)};
    let end: u32 = min(first + ${u(block.rows)}, ${u(matrixRows)});
    let right: u32 = min(left + ${u(block.columns)}, ${u(columns)});
    var largest: f32 = 0.0f;
    for (var i: u32 = first; i < end; i += 1u) {
      for (var j: u32 = left; j < right; j += 1u) {
        largest = larger(largest, abs(x[(matrix * ${u(matrixRows)} + i) * ${u(columns)} + j]));
      }
    }
    for (var i: u32 = first; i < end; i += 1u) {
      for (var j: u32 = left; j < right; j += 1u) {
        let at: u32 = (matrix * ${u(matrixRows)} + i) * ${u(columns)} + j;
        y[at] = toFloat8(x[at], largest);
      }
    }
  }`,
      }),
    );
  }),
];
