// Question: how does the CPU add up the squares of a tensor?

import { sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { sumSquaresOperation } from "../../../ops/sum-squares.ts";
import { type Calls, type Implementation, implement, sumPartials } from "../implement.ts";

export const sumSquares: readonly Implementation[] = [
  implement(sumSquaresOperation, ({ x, total }, calls) => emitBlocks(calls, "sumSquares", x, total, 4)),
];

/** Elements that make one partial. */
const BLOCK = 4096;

/** One number from a whole tensor: a partial per block, then their sum. */
export function emitBlocks(
  calls: Calls,
  kernel: "sumSquares" | "countNotFinite" | "sumBlocks",
  x: Tensor,
  total: Tensor,
  blocksPerTask: number,
): void {
  const { read, write, temporary, emit } = calls;
  const all = sizeOf(x.shape);
  const blocks = Math.ceil(all / BLOCK);
  const partials = temporary("partials", 4 * blocks);
  emit({
    kernel,
    domain: blocks,
    grain: blocksPerTask,
    operands: { x: read(x, "whole"), partials: write(partials, "whole") },
    words: { block: BLOCK, all },
  });
  sumPartials(calls, partials, total, blocks);
}
