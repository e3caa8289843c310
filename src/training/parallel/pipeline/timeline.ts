// Question: what did a stage do when, in the step that was measured?
//
// In the form of the simulated timelines (schedules/task.ts), so that both are drawn and measured by the same code. Times
// are milliseconds since all ranks passed a barrier together.

import type { PassPart, TaskKind } from "../schedules/task.ts";
import type { Seen } from "./mail.ts";

/** A piece of computation. */
export interface DonePass {
  readonly part: PassPart;
  readonly kind: Extract<TaskKind, "forward" | "backward" | "weights" | "recompute">;
  readonly start: number;
  readonly end: number;
}

/** All that a stage saw of a step. */
export interface StageRecord {
  readonly stage: number;
  readonly passes: readonly DonePass[];
  readonly sent: readonly Seen[];
  readonly came: readonly Seen[];
  /** When its last pass ended. */
  readonly end: number;
}
