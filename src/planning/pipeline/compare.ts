// Question: which schedule is best for a pipeline, and what does mHC cost in DualPipe, with and without the
// paper's overlap?

import { fullOverlap, layerCosts, noOverlap, type Overlap } from "./layer-costs.ts";
import type { PipelineShape } from "../../training/parallel/schedules/orders.ts";
import { type ConnectionCost, type LayerAssumptions, layerTimes } from "./paper-times.ts";
import { type ScheduleName, scheduleNames, schedules } from "../../training/parallel/schedules/table.ts";
import { expectSize, simulateSchedule, type SimulatedSchedule } from "./schedules.ts";
import type { PipelineCosts } from "../../training/parallel/schedules/task.ts";

/** A schedule that ran, or the reason why it cannot run in this shape. */
export type Compared =
  | { readonly schedule: ScheduleName; readonly run: SimulatedSchedule }
  | { readonly schedule: ScheduleName; readonly refused: string };

/** Run all schedules with the same costs. A schedule whose costs throw a RangeError is left out, with that reason. */
export function compareSchedules(shape: PipelineShape, costs: (chunks: number) => PipelineCosts): Compared[] {
  // Before anything is made: what is too large for one schedule is too large for all.
  expectSize({ ...shape, chunks: 1 });
  return scheduleNames.map((schedule) => {
    const refused = schedules[schedule].refuses(shape);
    if (refused !== undefined) return { schedule, refused };
    try {
      return { schedule, run: simulateSchedule(schedule, shape, costs) };
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return { schedule, refused: `${schedules[schedule].title}: ${error.message}` };
    }
  });
}

/** DualPipe with one connection and one choice of overlap. */
export interface OverlapRow {
  readonly title: string;
  readonly connection: ConnectionCost;
  readonly overlap: Overlap;
  readonly run: SimulatedSchedule;
  /** Time of the step relative to the residual connection's, minus one. */
  readonly extra: number;
  /** The same for one more micro-batch in the steady state, where the pipeline neither fills nor drains. */
  readonly steadyExtra: number;
}

const rows: readonly { readonly title: string; readonly connection: ConnectionCost; readonly overlap: Overlap }[] = [
  { title: "residual", connection: "residual", overlap: noOverlap },
  { title: "mHC without overlap", connection: "mhc", overlap: noOverlap },
  { title: "mHC, recomputation decoupled", connection: "mhc", overlap: { priority: false, decoupled: true } },
  { title: "mHC, post^M on a priority stream", connection: "mhc", overlap: { priority: true, decoupled: false } },
  { title: "mHC with both", connection: "mhc", overlap: fullOverlap },
];

/**
 * mHC beside the residual connection in DualPipe, with and without each part of the paper's overlap.
 *
 * @param layers layers of the model on a stage
 * @throws RangeError if DualPipe cannot run in this shape
 */
export function compareOverlap(shape: PipelineShape, assumptions: LayerAssumptions, layers: number): OverlapRow[] {
  const measured = rows.map(({ title, connection, overlap }) => {
    const costs = (): PipelineCosts => layerCosts(layerTimes(assumptions, connection).times, layers, overlap);
    const run = simulateSchedule("dualpipe", shape, costs);
    const twice = simulateSchedule("dualpipe", { ...shape, microBatches: 2 * shape.microBatches }, costs);
    return { title, connection, overlap, run, steady: twice.report.makespan - run.report.makespan };
  });
  const base = measured[0]!;
  return measured.map(({ steady, ...row }) => ({
    ...row,
    extra: row.run.report.makespan / base.run.report.makespan - 1,
    steadyExtra: steady / base.steady - 1,
  }));
}
