// Question: in which order does a stage of zero-bubble ZB-H1 work?
//
// ZB-H1 (Qi et al., arXiv 2401.10241) splits the backward pass. B, the gradient of the input, goes to the previous
// stage at once. Nobody waits for W, the gradient of the weights, so it fills what would be a bubble. The order is
// that of 1F1B. Stage i postpones its W by i micro-batches, so every stage holds p at most, as the first stage of
// 1F1B does. The bubble is (p-1)(F + B_input - W) if W takes no longer than F and B_input.

import { inTurns, onePiece, only, range, type PipelineSchedule } from "./orders.ts";

export const zeroBubble: PipelineSchedule = {
  title: "ZB-H1",
  source: "arXiv 2401.10241",
  ...onePiece,
  orders: ({ stages, microBatches }) =>
    range(stages).map((stage) => [
      ...inTurns(
        microBatches,
        stages - 1 - stage,
        (microBatch) => only("forward", stage, microBatch),
        (microBatch) => [
          only("input", stage, microBatch),
          ...(microBatch >= stage ? [only("weights", stage, microBatch - stage)] : []),
        ],
      ),
      ...range(Math.min(stage, microBatches)).map((i) => only("weights", stage, Math.max(0, microBatches - stage) + i)),
    ]),
};
