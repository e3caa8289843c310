// Question: how does a GPU add rows to the rows of a table, without atomics?
//
// One thread for each value of the table looks through all indices: the same order, hence the same bits, in every run.

import { lastAxis, sizeOf } from "../../../graph/tensor.ts";
import { scatterAddOperation } from "../../../ops/gather.ts";
import { checkIndices } from "../check.ts";
import { calls, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";

export const scatter: readonly Implementation[] = [
  calls(scatterAddOperation, ({ indices, g, y }, { rows }, context, _addend, scope) => {
    checkIndices(context, indices, { operation: "scatterAdd", scope, rows });
    const [count, C] = [sizeOf(indices.shape), lastAxis(g.shape)];
    const blocks = Math.ceil(C / WIDTH);
    context.emit(
      kernelCall({
        name: "scatterAdd",
        reads: { indices: operand(context, indices), g: operand(context, g) },
        writes: { y: operand(context, y) },
        functions: [`var<workgroup> found: array<u32, ${WIDTH}>;`],
        width: WIDTH,
        groups: rows * blocks,
        body: `
  let row: u32 = group / ${u(blocks)};
  let c: u32 = (group % ${u(blocks)}) * ${u(WIDTH)} + lane;
  var value: f32 = 0.0f;
  for (var begin: u32 = 0u; begin < ${u(count)}; begin += ${u(WIDTH)}) {
    let mine: u32 = min(begin + lane, ${u(count - 1)});
    found[lane] = select(${u(rows)}, u32(indices[mine]), begin + lane < ${u(count)});
    if (found[lane] >= ${u(rows)} && begin + lane < ${u(count)}) { found[lane] = 0u; }
    workgroupBarrier();
    for (var k: u32 = 0u; k < ${u(WIDTH)}; k += 1u) {
      if (found[k] == row && c < ${u(C)}) { value += g[(begin + k) * ${u(C)} + c]; }
    }
    workgroupBarrier();
  }
  if (c < ${u(C)}) { y[row * ${u(C)} + c] = value; }`,
      }),
    );
  }),
];
