// Question: in which order does a stage of DualPipe work?
//
// DualPipe (DeepSeek-V3 report, arXiv 2412.19437, section 3.2.1; the order as in github.com/deepseek-ai/DualPipe):
// micro-batches enter the pipeline from both ends. Stage i holds position i for those that enter at the front
// and position p-1-i for those that enter at the back, so there are two copies of the parameters. In the middle of the step each
// slot is F&B: the forward pass of one direction woven with the backward pass of the other, so that the
// communication of one overlaps the computation of the other. The published bubble is (p/2 - 1)(F&B + B - 3W),
// where B is the full backward pass and F takes as long as B - W. The published memory is p + 1 micro-batches.

import { only, pair, range, type PipelineSchedule } from "./orders.ts";
import type { PassPart, Slot } from "./task.ts";

/** 0 is the direction that reaches this half of the pipeline first; 1 is the other. */
type Side = 0 | 1;

export const dualPipe: PipelineSchedule = {
  title: "DualPipe",
  source: "arXiv 2412.19437",
  copies: 2,
  chunks: () => 1,
  refuses({ stages, microBatches }) {
    if (stages % 2 !== 0)
      return `DualPipe folds the pipeline in the middle and needs an even number of stages, got ${stages}; take ${stages + 1}.`;
    if (microBatches % 2 !== 0 || microBatches < 2 * stages)
      return `DualPipe needs an even number of micro-batches, at least twice its ${stages} stages, got ${microBatches}; take ${Math.max(2 * stages, microBatches + (microBatches % 2))}.`;
    return undefined;
  },
  orders: (shape) => range(shape.stages).map((stage) => orderOf(stage, shape)),
};

function orderOf(stage: number, { stages, microBatches }: { stages: number; microBatches: number }): Slot[] {
  const half = stages / 2;
  /** Distance from the nearer end of the pipeline: 0 outside, half - 1 in the middle. */
  const depth = Math.min(stage, stages - 1 - stage);
  const outside = half - 1 - depth;
  const slots: Slot[] = [];
  const issued = { forward: [0, 0], backward: [0, 0] };
  const putOff: PassPart[] = [];

  const next = (pass: "forward" | "backward" | "input", side: Side): PassPart => {
    const fromBack = side === (stage < half ? 1 : 0);
    const index = issued[pass === "forward" ? "forward" : "backward"][side]!++;
    return {
      pass,
      position: fromBack ? stages - 1 - stage : stage,
      microBatch: fromBack ? microBatches / 2 + index : index,
    };
  };
  const forward = (side: Side): unknown => slots.push([next("forward", side)]);
  const backward = (side: Side): unknown => slots.push([next("backward", side)]);
  const input = (side: Side): void => {
    const part = next("input", side);
    slots.push([part]);
    putOff.push(part);
  };
  const weights = (): void => {
    const part = putOff.shift()!;
    slots.push(only("weights", part.position, part.microBatch));
  };
  const both = (forwardSide: Side, backwardSide: Side): unknown =>
    slots.push(pair(next("forward", forwardSide), next("backward", backwardSide)));

  // The pipeline fills from the near end, then from both.
  for (let i = 0; i < 2 * outside; i++) forward(0);
  for (let i = 0; i <= depth; i++) {
    forward(0);
    forward(1);
  }
  // The first gradients of the far side arrive; weight gradients fill the gaps.
  for (let i = 0; i < outside; i++) {
    input(1);
    weights();
    forward(1);
  }
  // The steady state. The two middle stages do not weave their first pair: its gradient is needed at once.
  for (let i = 0; i < microBatches / 2 - stages + depth + 1; i++) {
    if (i === 0 && outside === 0) {
      forward(0);
      backward(1);
    } else both(0, 1);
    both(1, 0);
  }
  // The near side has no more to send forward.
  for (let i = 0; i < outside; i++) {
    backward(1);
    both(1, 0);
  }
  // Only gradients are left. From the middle of this phase on, weight gradients are postponed.
  for (let i = 0; i < 2 * (depth + 1); i++) {
    const side = i % 2 === 0 ? 1 : 0;
    if (i > depth) input(side);
    else backward(side);
  }
  for (let i = 0; i < outside; i++) {
    weights();
    input(0);
  }
  while (putOff.length > 0) weights();
  return slots;
}
