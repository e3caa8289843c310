// Question: what does a pass cost if it is one block?
//
// The published formulas of the schedules use these costs: a forward pass takes F, a full backward pass B, W is the
// part of B for the weights, and a woven pair takes F&B.

import { MOST_COUNT } from "../../basics/bounds.ts";
import { expectFields, expectGiven, type FieldRules } from "../../basics/fields.ts";
import { expectWhole } from "../../basics/ranges.ts";
import type { PipelineCosts, TaskKind, PipelinePass, Piece } from "../../training/parallel/schedules/task.ts";

/** Times of a stage's passes for one micro-batch, all in the same unit. */
export interface PassTimes {
  /** F: a forward pass over everything that a stage holds. */
  readonly forward: number;
  /** B: the full backward pass. */
  readonly backward: number;
  /** W: the part of B for the weights. */
  readonly weights: number;
  /** F&B: a forward and a backward pass woven together (default: their sum). */
  readonly both?: number;
  /** A message from a stage to the next (default: none). */
  readonly message?: number;
}

const timeRules: FieldRules<PassTimes> = {
  forward: "number",
  backward: "number",
  weights: "number",
  both: "number",
  message: "number",
};

const blocks: Readonly<Record<PipelinePass, { label: string; kind: TaskKind }>> = {
  forward: { label: "F", kind: "forward" },
  backward: { label: "B", kind: "backward" },
  input: { label: "B", kind: "backward" },
  weights: { label: "W", kind: "weights" },
};

/**
 * Costs of passes that are one block each.
 *
 * @param chunks pieces v of the model on a stage; a pass over one takes 1/v of the times
 * @throws RangeError if W is longer than B, or a time is negative or not a number
 */
export function passCosts(times: PassTimes, chunks = 1): PipelineCosts {
  expectFields("passCosts", times, timeRules, "time");
  expectGiven("passCosts", times, timeRules, ["forward", "backward", "weights"]);
  expectWhole("passCosts", "chunks", chunks, 1, MOST_COUNT);
  const { forward, backward, weights, both = forward + backward, message = 0 } = times;
  for (const [name, value] of Object.entries({ forward, backward, weights, both, message }))
    if (!(value >= 0 && value < Infinity)) throw new RangeError(`The time of ${name} must be 0 or more, got ${value}.`);
  if (weights > backward)
    throw new RangeError(
      `The time of weights (${weights}) is a part of backward (${backward}), so it cannot be longer; give the full backward time.`,
    );
  const time: Readonly<Record<PipelinePass, number>> = { forward, backward, input: backward - weights, weights };
  return {
    message,
    pieces(passes): Piece[] {
      const parts = passes.map((_, index) => index);
      const block: { label: string; kind: TaskKind } =
        passes.length > 1 ? { label: "F&B", kind: "both" } : blocks[passes[0]!];
      const duration = (passes.length > 1 ? both : time[passes[0]!]) / chunks;
      return [{ ...block, stream: "compute", duration, parts, after: [], waits: "arrival", sends: true }];
    },
  };
}
