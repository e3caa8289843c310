// Question: in which order does a stage of GPipe work?
//
// GPipe runs all forward passes, then all backward passes (Huang et al., arXiv 1811.06965). With p stages and m
// micro-batches of equal time a stage idles for (p-1)/(m+p-1) of the step, and holds m micro-batches.

import { onePiece, only, range, type PipelineSchedule } from "./orders.ts";

export const gpipe: PipelineSchedule = {
  title: "GPipe",
  source: "arXiv 1811.06965",
  ...onePiece,
  orders: ({ stages, microBatches }) =>
    range(stages).map((stage) => [
      ...range(microBatches).map((microBatch) => only("forward", stage, microBatch)),
      ...range(microBatches).map((microBatch) => only("backward", stage, microBatch)),
    ]),
};
