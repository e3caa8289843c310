// Question: how does a GPU lay tokens out for their experts, with counts that never leave it?
//
// A counting sort of the pairs of tokens and experts, as ops/dispatch.ts, in blocks of 64 pairs: each block counts its
// pairs of each expert; one group adds the counts up, block after block and expert after expert; then each pair stands
// at the first row of its expert and block, after the block's pairs of this expert before it. No atomics, one order.

import { sizeOf } from "../../../graph/tensor.ts";
import { dispatchOperation } from "../../../ops/dispatch.ts";
import { expertChoiceOperation } from "../../../ops/expert-choice.ts";
import { checkIndices } from "../check.ts";
import { calls, type Implementation, kernelCall, operand, temporary, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";

export const dispatch: readonly Implementation[] = [
  calls(dispatchOperation, ({ chosen, order, position, offsets, load }, { experts: E }, context, _addend, scope) => {
    // What chooses experts chooses some that there are.
    if (chosen.node.op !== expertChoiceOperation)
      checkIndices(context, chosen, { operation: "dispatch", scope, rows: E });
    const P = sizeOf(chosen.shape);
    const blocks = Math.ceil(P / WIDTH);
    const counts = temporary(context, "counts", blocks * E, "i32");
    const starts = temporary(context, "starts", blocks * E, "i32");
    /** The experts of a block's pairs in shared memory; E where there is no pair. */
    const stage = `
  let pair: u32 = group * ${u(WIDTH)} + lane;
  let mine: u32 = u32(chosen[min(pair, ${u(P - 1)})]);
  expert[lane] = select(${u(E)}, select(0u, mine, mine < ${u(E)}), pair < ${u(P)});
  workgroupBarrier();`;
    const functions = [`var<workgroup> expert: array<u32, ${WIDTH}>;`];
    const pairs = operand(context, chosen);
    context.emit(
      kernelCall({
        name: "expertCounts",
        reads: { chosen: pairs },
        writes: { counts },
        functions,
        width: WIDTH,
        groups: blocks,
        body: `${stage}
  for (var e: u32 = lane; e < ${u(E)}; e += ${u(WIDTH)}) {
    var count: i32 = 0;
    for (var k: u32 = 0u; k < ${u(WIDTH)}; k += 1u) { count += select(0, 1, expert[k] == e); }
    counts[group * ${u(E)} + e] = count;
  }`,
      }),
    );
    context.emit(
      kernelCall({
        name: "expertOffsets",
        reads: { counts },
        writes: { starts, offsets: operand(context, offsets), load: operand(context, load) },
        functions: [`var<workgroup> first: array<i32, ${E}>;`],
        width: WIDTH,
        groups: 1,
        body: `
  for (var e: u32 = lane; e < ${u(E)}; e += ${u(WIDTH)}) {
    var total: i32 = 0;
    for (var block: u32 = 0u; block < ${u(blocks)}; block += 1u) { total += counts[block * ${u(E)} + e]; }
    first[e] = total;
    load[e] = f32(total);
  }
  workgroupBarrier();
  if (lane == 0u) {
    var row: i32 = 0;
    for (var e: u32 = 0u; e < ${u(E)}; e += 1u) {
      let total: i32 = first[e];
      first[e] = row;
      offsets[e] = row;
      row += total;
    }
    offsets[${E}] = row;
  }
  workgroupBarrier();
  for (var e: u32 = lane; e < ${u(E)}; e += ${u(WIDTH)}) {
    var row: i32 = first[e];
    for (var block: u32 = 0u; block < ${u(blocks)}; block += 1u) {
      starts[block * ${u(E)} + e] = row;
      row += counts[block * ${u(E)} + e];
    }
  }`,
      }),
    );
    context.emit(
      kernelCall({
        name: "expertPlaces",
        reads: { chosen: pairs, starts },
        writes: { order: operand(context, order), position: operand(context, position) },
        functions,
        width: WIDTH,
        groups: blocks,
        body: `${stage}
  if (pair < ${u(P)}) {
    var row: i32 = starts[group * ${u(E)} + expert[lane]];
    for (var k: u32 = 0u; k < lane; k += 1u) { row += select(0, 1, expert[k] == expert[lane]); }
    order[row] = i32(pair);
    position[pair] = row;
  }`,
      }),
    );
  }),
];
