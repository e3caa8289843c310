// Question: how does the CPU multiply a batch of matrices?

import type { Tensor } from "../../../graph/tensor.ts";
import { batchedMatmulExtents, batchedMatmulOperation } from "../../../ops/batched-matmul.ts";
import type { MatmulAttributes, MatmulExtents } from "../../../ops/matmul.ts";
import type { Operand } from "../../plan/calls.ts";
import { ROW_TILE } from "../constants.ts";
import { type Calls, type Implementation, implement } from "../implement.ts";

/** Products are cut until there are this many tasks, and gathered until a task has this much work. */
const TASKS = 16;
const FLOPS = 1 << 18;

export const batchedMatmul: readonly Implementation[] = [
  implement(batchedMatmulOperation, ({ a, b, c }, calls, attributes) =>
    emitBatched(calls, a, b, calls.write(c, "whole"), attributes, batchedMatmulExtents(a.shape, b.shape, attributes)),
  ),
];

/** C = op(A) op(B) for every matrix of a batch. */
export function emitBatched(
  { read, emit }: Calls,
  a: Tensor,
  b: Tensor,
  c: Operand,
  { transposeA, transposeB }: MatmulAttributes,
  { batch, rows, inner, columns }: MatmulExtents & { readonly batch: number },
): void {
  const pieces = Math.max(1, Math.floor(TASKS / batch));
  const rowsPerTask = Math.ceil(rows / pieces / ROW_TILE) * ROW_TILE;
  emit({
    kernel: "gemmBatched",
    domain: batch * Math.ceil(rows / rowsPerTask),
    grain: Math.ceil(FLOPS / (2 * Math.min(rows, rowsPerTask) * inner * columns)),
    operands: { A: read(a, "whole"), B: read(b, "whole"), C: c },
    words: {
      strideA: rows * inner,
      strideB: inner * columns,
      strideC: rows * columns,
      M: rows,
      N: columns,
      K: inner,
      transposeA: transposeA ? 1 : 0,
      transposeB: transposeB ? 1 : 0,
      rowsPerTask,
    },
  });
}
