// Question: how does the CPU multiply each expert's rows by its matrix?

import { lastAxis, rowCount, type Tensor } from "../../../graph/tensor.ts";
import { expertMatmulOperation, expertOuterOperation } from "../../../ops/expert-matmul.ts";
import { expertRowsOperation } from "../../../ops/expert-rows.ts";
import { expertSumBackwardOperation } from "../../../ops/expert-sum.ts";
import type { Operand } from "../../plan/calls.ts";
import { ROW_TILE } from "../constants.ts";
import { outerGrid } from "../gemm-grid.ts";
import { type Implementation, implement, inputsOf, PACK_GRAIN, weightOf } from "../implement.ts";

export const expertMatmul: readonly Implementation[] = [
  // All experts' matrices are packed, then every tile of rows finds its own.
  implement(expertMatmulOperation, ({ x, weights, offsets, y }, calls, { transposed }) => {
    const { panelWidth, read, write, temporary, emit } = calls;
    const { source, rounded } = weightOf(weights);
    const [experts, inner, columns] = [weights.shape[0] ?? 1, lastAxis(x.shape), lastAxis(y.shape)];
    const panels = experts * Math.ceil(columns / panelWidth);
    const packed = temporary("packed", 4 * panels * panelWidth * inner);
    emit({
      kernel: "packExperts",
      domain: panels,
      grain: PACK_GRAIN,
      flops: 0,
      operands: { B: read(source, "whole"), packed: write(packed, "whole") },
      words: { K: inner, N: columns, transposed: transposed ? 1 : 0, rounded },
    });
    emit({
      kernel: "gemmExperts",
      domain: rowCount(x.shape),
      grain: ROW_TILE,
      operands: {
        A: read(x, "share"),
        B: read(packed, "whole"),
        offsets: read(offsets, "whole"),
        C: write(y, "share"),
      },
      words: { K: inner, N: columns, E: experts },
    });
  }),
  implement(
    expertOuterOperation,
    ({ a, b, offsets, weights }, { threads, read, write, emit }, _, addend) => {
      const [left, right] = [gathered(a), gathered(b)];
      const whole = (tensor: Tensor | undefined): Operand | undefined => tensor && read(tensor, "whole");
      const [experts, rows, columns] = weights.shape as [number, number, number];
      const { down, across } = outerGrid(rows, columns, threads, experts);
      emit({
        kernel: "outerExperts",
        domain: experts * down * across,
        grain: 1,
        // A task reads of the addend only the tile it writes: in this sense both are shared out, and may be one.
        operands: {
          A: read(left.matrix, "whole"),
          orderA: whole(left.order),
          weightsA: whole(left.weights),
          B: read(right.matrix, "whole"),
          orderB: whole(right.order),
          weightsB: whole(right.weights),
          offsets: read(offsets, "whole"),
          C0: addend && read(addend, "share"),
          C: write(weights, "share"),
        },
        words: { M: rows, N: columns, down, across, activeA: left.active, activeB: right.active },
        inPlace: { C: "C0" },
      });
    },
    { accumulates: true },
  ),
];

/** Rows that were gathered by a dispatch, as what they were gathered from: they need not be kept. */
interface Gathered {
  readonly matrix: Tensor;
  readonly order?: Tensor;
  readonly weights?: Tensor;
  /** How many pairs share a row. */
  readonly active: number;
}

/** A tensor as the rows of tokens it is made of: those of `expertRows`, or `expertSumBackward`'s dx with their weights. */
function gathered(tensor: Tensor): Gathered {
  const rows = inputsOf(tensor, expertRowsOperation);
  if (rows) return { matrix: rows.x, order: rows.order, active: lastAxis(rows.position.shape) };
  const sums = tensor.index === 0 ? inputsOf(tensor, expertSumBackwardOperation) : undefined;
  if (!sums) return { matrix: tensor, active: 1 };
  return { matrix: sums.g, order: sums.order, weights: sums.weights, active: lastAxis(sums.weights.shape) };
}
