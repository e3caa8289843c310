// Question: which schedules are there, and how does one run with given costs?

import { expectFields, type FieldRules } from "../../basics/fields.ts";
import { entryOf } from "../../basics/objects.ts";
import { showCount } from "../../basics/show.ts";
import { dualPipe } from "./dualpipe.ts";
import { gpipe } from "./gpipe.ts";
import { interleaved } from "./interleaved.ts";
import { measure, type TimelineReport } from "./measure.ts";
import { oneForwardOneBackward } from "./one-f-one-b.ts";
import type { PipelineSchedule, PipelineShape } from "./orders.ts";
import { tasksOf } from "./program.ts";
import { simulate } from "./simulate.ts";
import type { PipelineCosts, Timeline } from "./task.ts";
import { zeroBubble } from "./zero-bubble.ts";

/** All schedules by name: their titles, sources, copies of the parameters, and orders. */
export const schedules: {
  readonly gpipe: PipelineSchedule;
  readonly "1f1b": PipelineSchedule;
  readonly interleaved: PipelineSchedule;
  readonly "zb-h1": PipelineSchedule;
  readonly dualpipe: PipelineSchedule;
} = { gpipe, "1f1b": oneForwardOneBackward, interleaved, "zb-h1": zeroBubble, dualpipe: dualPipe };

/** A pipeline schedule, by the name the command line gives it. */
export type ScheduleName = keyof typeof schedules;

/** Names of all schedules. */
export const scheduleNames = Object.keys(schedules) as ScheduleName[];

/** A schedule that ran: the times of all tasks, and their totals. */
export interface SimulatedSchedule {
  readonly schedule: ScheduleName;
  readonly shape: PipelineShape;
  readonly report: TimelineReport;
  readonly timeline: Timeline;
}

/** The most passes of a direction, and the most tasks that they may be made of: more take minutes to simulate. */
const MOST_PASSES = 2 ** 12;
const MOST_TASKS = 2 ** 17;

const shapeRules: FieldRules<PipelineShape> = { stages: "number", microBatches: "number", chunks: "number" };

/**
 * Make sure that a pipeline can be simulated in a moment.
 *
 * @param tasksOfPass how many tasks a pass is made of
 * @throws RangeError if it has too many passes or tasks
 */
export function expectSize(shape: PipelineShape, tasksOfPass = 1): void {
  expectFields("The shape of a pipeline", shape, shapeRules, "size");
  const { stages, microBatches, chunks } = shape;
  for (const [what, value] of Object.entries({ stages, microBatches, chunks }))
    if (!Number.isInteger(value) || value < 1)
      throw new RangeError(`The number of ${what} must be a whole number of at least 1, got ${value}.`);
  const passes = stages * microBatches * chunks;
  if (passes <= MOST_PASSES && passes * tasksOfPass <= MOST_TASKS) return;
  const most = Math.min(MOST_PASSES, Math.floor(MOST_TASKS / tasksOfPass));
  throw new RangeError(
    `${stages} stages × ${microBatches} micro-batches × ${chunks} chunks are ${showCount(passes)} forward passes; ` +
      `at most ${showCount(most)} are simulated. Take fewer: a schedule repeats itself in its steady state.`,
  );
}

/**
 * Run a schedule.
 *
 * @param shape stages p, micro-batches m, and pieces v of the model on a stage for an interleaved schedule
 * @param costs what passes cost, given the pieces of the model a stage of this schedule holds
 * @throws Error if the schedule cannot run in this shape; the message says what can
 */
export function simulateSchedule(
  name: ScheduleName,
  shape: PipelineShape,
  costs: (chunks: number) => PipelineCosts,
): SimulatedSchedule {
  const schedule = entryOf(schedules, name, "simulateSchedule: the schedule");
  expectSize({ ...shape, chunks: 1 });
  const refusal = schedule.refuses(shape);
  if (refusal !== undefined) throw new RangeError(refusal);
  const chunks = schedule.chunks(shape);
  expectSize({ ...shape, chunks }, costs(chunks).pieces(["forward"]).length);
  const tasks = tasksOf(schedule.orders(shape), shape.stages * chunks, costs(chunks));
  const timeline = simulate(tasks, shape.stages);
  return { schedule: name, shape, report: measure(timeline, chunks), timeline };
}
