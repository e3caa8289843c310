// Question: in which order does a stage of 1F1B work?
//
// 1F1B (PipeDream-flush: Narayanan et al., arXiv 2006.09503): a stage runs as many forward passes as there are
// stages behind it, then alternates. The bubble is GPipe's, (p-1)(F+B), but stage i holds only
// min(p - i, m) micro-batches.

import { inTurns, onePiece, only, range, type PipelineSchedule } from "./orders.ts";

export const oneForwardOneBackward: PipelineSchedule = {
  title: "1F1B",
  source: "arXiv 2006.09503",
  ...onePiece,
  orders: ({ stages, microBatches }) =>
    range(stages).map((stage) =>
      inTurns(
        microBatches,
        stages - 1 - stage,
        (microBatch) => only("forward", stage, microBatch),
        (microBatch) => [only("backward", stage, microBatch)],
      ),
    ),
};
