// Question: how does a GPU tell that an index is out of range?
//
// One group of threads looks through the indices and writes the first offence, [position + 1, index], where the host
// looks when it reads (and wipes it away); the operation itself goes on with index 0. No atomics: the answer is the same in every run.

import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { LoweringContext } from "../plan/machine.ts";
import { kernelCall, operand, u } from "./implement.ts";
import type { IndexCheck } from "./work.ts";

const WIDTH = 64;

/** Bytes of what a check writes: position + 1 of the first offence (0: none), and the index there. */
export const OFFENCE_BYTES = 8;

/**
 * Emit the check of a tensor of indices.
 *
 * @param used i32 of the same shape: where it is negative, nobody looks at the index
 */
export function checkIndices(context: LoweringContext, indices: Tensor, check: IndexCheck, used?: Tensor): void {
  const size = sizeOf(indices.shape);
  // A state of the program: it has a place of its own, which nothing writes over.
  const offence = {
    name: `check of ${check.operation}`,
    bytes: OFFENCE_BYTES,
    state: { name: "offence", kind: "state" as const, dtype: "i32" as const, shape: [2] },
  };
  context.emit(
    kernelCall({
      name: "checkIndices",
      reads: { indices: operand(context, indices), ...(used && { used: operand(context, used) }) },
      writes: { offence: { buffer: offence, type: "u32" } },
      functions: [`var<workgroup> first: array<u32, ${WIDTH}>;`],
      width: WIDTH,
      groups: 1,
      body: `
  var found: u32 = ${u(size)};
  for (var i: u32 = lane; i < ${u(size)}; i += ${u(WIDTH)}) {
    if (u32(indices[i]) >= ${u(check.rows)}${used ? " && used[i] >= 0" : ""}) { found = min(found, i); }
  }
  first[lane] = found;
  workgroupBarrier();
  for (var half: u32 = ${u(WIDTH / 2)}; half > 0u; half = half / 2u) {
    if (lane < half) { first[lane] = min(first[lane], first[lane + half]); }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let at: u32 = first[0];
    if (at < ${u(size)} && offence[0] == 0u) { offence[0] = at + 1u; offence[1] = u32(indices[at]); }
  }`,
      check,
      flops: 0,
    }),
  );
}
