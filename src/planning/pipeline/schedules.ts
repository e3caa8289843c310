// Question: how does a schedule run with given costs?

import { expectFields, type FieldRules } from "../../basics/fields.ts";
import { entryOf } from "../../basics/objects.ts";
import { showCount } from "../../basics/show.ts";
import { measure, type TimelineReport } from "./measure.ts";
import type { PipelineShape } from "../../training/parallel/schedules/orders.ts";
import { type ScheduleName, schedules } from "../../training/parallel/schedules/table.ts";
import { tasksOf } from "./program.ts";
import { simulate } from "./simulate.ts";
import type { PipelineCosts, Timeline } from "../../training/parallel/schedules/task.ts";

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
