// Question: what do all schedules have in common?

import type { PassPart, PipelinePass, Slot } from "./task.ts";

/** The size of a pipeline and of one step's work. */
export interface PipelineShape {
  /** Stages p: devices of the pipeline. */
  readonly stages: number;
  /** Micro-batches m of one training step. */
  readonly microBatches: number;
  /** Pieces v of the model that a stage holds; only an interleaved schedule uses more than one. */
  readonly chunks: number;
}

/** The order in which the stages of a pipeline issue their passes. */
export interface PipelineSchedule {
  readonly title: string;
  readonly source: string;
  /** Copies of the parameters in the pipeline. */
  readonly copies: number;
  /** Pieces of each copy that a stage holds. */
  chunks(shape: PipelineShape): number;
  /** Says why a shape does not fit and how to change it; undefined if it fits. */
  refuses(shape: PipelineShape): string | undefined;
  /** The slots of each stage, in the order in which it issues them. */
  orders(shape: PipelineShape): Slot[][];
}

/** Shared by the schedules with one copy of the model and one piece per stage, which fit every shape. */
export const onePiece: Pick<PipelineSchedule, "copies" | "chunks" | "refuses"> = {
  copies: 1,
  chunks: () => 1,
  refuses: () => undefined,
};

/**
 * One forward, one backward: a stage first runs some forward passes ahead. Then it alternates between one more forward
 * pass and whatever follows the oldest of them.
 */
export function inTurns(
  passes: number,
  ahead: number,
  forward: (index: number) => Slot,
  after: (index: number) => readonly Slot[],
): Slot[] {
  return [
    ...range(Math.min(ahead, passes)).map(forward),
    ...range(passes).flatMap((index) => [...(ahead + index < passes ? [forward(ahead + index)] : []), ...after(index)]),
  ];
}

export const range = (count: number): number[] => Array.from({ length: Math.max(0, count) }, (_, i) => i);

export const only = (pass: PipelinePass, position: number, microBatch: number): Slot => [
  { pass, position, microBatch },
];

export const pair = (forward: PassPart, backward: PassPart): Slot => [forward, backward];
