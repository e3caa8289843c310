// Question: how do the rows of tokens reach experts that other ranks hold?
//
// R ranks share E experts: rank q holds experts q E/R to (q + 1) E/R − 1. Each has the pairs of its own tokens, sorted by
// expert (dispatch.ts), so what goes to one rank lies together:
//
//   expertsSend     rows [P, C] of this rank's pairs   →  rows [R·P, C] of all pairs of this rank's experts
//   expertsReturn   the way back                       →  rows [P, C], in the order in which they were sent
//   expertsResend   expertsSend along ways that are known already; the gradient of expertsReturn, as that is its own
//
// At the experts, rows are sorted by expert and within an expert by the rank that sent them: the order that one process
// has with the tokens of all ranks one after another. In the worst case all pairs of all ranks go to one rank, and none is
// dropped, so there is room for R·P rows; those that nobody sent hold zeros.
//
//   offsets  i32 [E/R + 1]: where the rows of this rank's experts begin
//   counts   i32 [R, E]: how many rows each rank has for each expert, by which the rows find their way back
//
// These operations wait for other ranks. No machine has them as kernels; a program with them is cut there
// (runtime/collective/over-ranks.ts).

import {
  apply,
  f32,
  lastAxis,
  type Operation,
  rowCount,
  sizeOf,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export interface ExpertExchangeAttributes {
  /** R. */
  readonly ranks: number;
}

function notHere(): never {
  throw new Error(
    "experts: their rows lie on other ranks, which one runtime alone cannot reach; compile for overRanks(runtime, collective).",
  );
}

export const expertsSendOperation: Operation<
  ["rows", "offsets"],
  ["sent", "starts", "counts"],
  ExpertExchangeAttributes
> = {
  name: "expertsSend",
  inputs: ["rows", "offsets"],
  outputs: ["sent", "starts", "counts"],
  infer({ rows, offsets }, { ranks }) {
    const experts = sizeOf(offsets.shape) - 1;
    expectShapes(
      rows.shape.length === 2 && offsets.dtype === "i32" && offsets.shape.length === 1 && experts % ranks === 0,
      "expertsSend",
      { rows, offsets },
      `rows must be [P, C] and offsets i32 [E + 1] from dispatch(), with E a multiple of the ${ranks} ranks.`,
    );
    return {
      sent: f32(ranks * rowCount(rows.shape), lastAxis(rows.shape)),
      starts: { shape: [experts / ranks + 1], dtype: "i32" },
      counts: { shape: [ranks, experts], dtype: "i32" },
    };
  },
  gradient: ({ counts }, { sent: g }, attributes) => ({
    rows: g && apply(expertsReturnOperation, { rows: g, counts }, attributes).returned,
  }),
  flops: () => 0,
  reference: notHere,
};

export const expertsReturnOperation: Operation<["rows", "counts"], ["returned"], ExpertExchangeAttributes> = {
  name: "expertsReturn",
  inputs: ["rows", "counts"],
  outputs: ["returned"],
  infer({ rows, counts }, { ranks }) {
    expectCounts("expertsReturn", rows, counts, ranks);
    expectShapes(rowCount(rows.shape) % ranks === 0, "expertsReturn", { rows, counts }, "rows must be [R · P, C].");
    return { returned: f32(rowCount(rows.shape) / ranks, lastAxis(rows.shape)) };
  },
  gradient: ({ counts }, { returned: g }, attributes) => ({
    rows: apply(expertsResendOperation, { rows: g, counts }, attributes).sent,
  }),
  flops: () => 0,
  reference: notHere,
};

export const expertsResendOperation: Operation<["rows", "counts"], ["sent"], ExpertExchangeAttributes> = {
  name: "expertsResend",
  inputs: ["rows", "counts"],
  outputs: ["sent"],
  infer({ rows, counts }, { ranks }) {
    expectCounts("expertsResend", rows, counts, ranks);
    return { sent: f32(ranks * rowCount(rows.shape), lastAxis(rows.shape)) };
  },
  gradient: ({ counts }, { sent: g }, attributes) => ({
    rows: apply(expertsReturnOperation, { rows: g, counts }, attributes).returned,
  }),
  flops: () => 0,
  reference: notHere,
};

function expectCounts(operation: string, rows: TensorSpec, counts: TensorSpec, ranks: number): void {
  expectShapes(
    rows.shape.length === 2 && counts.dtype === "i32" && counts.shape.length === 2 && counts.shape[0] === ranks,
    operation,
    { rows, counts },
    "rows must have two axes, and counts i32 [R, E] come from expertsSend().",
  );
}

/** Rows at their experts, and what brings them back. */
export interface SentRows {
  /** [R·P, C], sorted by expert. */
  readonly rows: Tensor;
  /** i32 [E/R + 1]: where the rows of each expert of this rank begin. */
  readonly offsets: Tensor;
  /** i32 [R, E]. */
  readonly counts: Tensor;
}

/**
 * Send rows to the ranks that hold their experts.
 *
 * @param rows [P, C], sorted by expert
 * @param offsets i32 [E + 1] from `dispatch`
 * @param ranks R, which share the experts equally
 * @throws ShapeError when E is no multiple of the ranks
 */
export function sendToExperts(rows: Tensor, offsets: Tensor, ranks: number): SentRows {
  const { sent, starts, counts } = apply(expertsSendOperation, { rows, offsets }, { ranks });
  return { rows: sent, offsets: starts, counts };
}

/**
 * Bring rows back to the ranks whose tokens they are.
 *
 * @param rows [R·P, C], in the order in which `sendToExperts` gave them
 * @returns [P, C]
 */
export function returnFromExperts(rows: Tensor, { counts }: Pick<SentRows, "counts">): Tensor {
  return apply(expertsReturnOperation, { rows, counts }, { ranks: counts.shape[0]! }).returned;
}
