// Question: in which order does a stage of interleaved 1F1B work?
//
// Interleaved 1F1B (Narayanan et al., arXiv 2104.04473): stage i holds v pieces of the model, at positions
// i, i+p, i+2p, ... The pipeline fills in pieces of 1/v, so the bubble shrinks to (p-1)(F+B)/v, which is
// (p-1)/(vm+p-1) of the step. There are v times as many messages, and stage 0 holds p + (p-1)/v micro-batches.
// Micro-batches pass through one piece after the other in groups of p.

import { inTurns, only, range, type PipelineSchedule } from "./orders.ts";
import type { Slot } from "./task.ts";

export const interleaved: PipelineSchedule = {
  title: "interleaved 1F1B",
  source: "arXiv 2104.04473",
  copies: 1,
  chunks: ({ chunks }) => chunks,
  refuses: ({ stages, microBatches }) =>
    microBatches % stages === 0
      ? undefined
      : `Interleaved 1F1B needs micro-batches in whole groups of its ${stages} stages, got ${microBatches}; take ${Math.ceil(microBatches / stages) * stages}.`,
  orders: ({ stages, microBatches, chunks }) =>
    range(stages).map((stage) => {
      const passes = microBatches * chunks;
      const slot = (pass: "forward" | "backward", index: number): Slot => {
        const inGroup = index % (stages * chunks);
        const step = Math.floor(inGroup / stages);
        const chunk = pass === "forward" ? step : chunks - 1 - step;
        const microBatch = Math.floor(index / (stages * chunks)) * stages + (inGroup % stages);
        return only(pass, chunk * stages + stage, microBatch);
      };
      return inTurns(
        passes,
        2 * (stages - 1 - stage) + (chunks - 1) * stages,
        (index) => slot("forward", index),
        (index) => [slot("backward", index)],
      );
    }),
};
