// birkhoff/pipelines: schedules of pipeline-parallel training.

// Pipelines: simulate and compare schedules of pipeline-parallel training.
export { type ScheduleName, scheduleNames, schedules } from "./training/parallel/schedules/table.ts";
export { type SimulatedSchedule, simulateSchedule } from "./planning/pipeline/schedules.ts";
export type { PipelineSchedule, PipelineShape } from "./training/parallel/schedules/orders.ts";
export type { StageReport, TimelineReport } from "./planning/pipeline/measure.ts";
export { passCosts, type PassTimes } from "./planning/pipeline/pass-costs.ts";
export {
  type ComputeTimes,
  type ConnectionTimes,
  fullOverlap,
  layerCosts,
  type LayerTimes,
  noOverlap,
  type Overlap,
} from "./planning/pipeline/layer-costs.ts";
export { type ConnectionCost, type LayerAssumptions, layerTimes, paper27b } from "./planning/pipeline/paper-times.ts";
export { type Compared, compareOverlap, compareSchedules, type OverlapRow } from "./planning/pipeline/compare.ts";
export type {
  PassPart,
  Piece,
  PipelineCosts,
  PipelinePass,
  PipelineTask,
  Slot,
  TaskKind,
  TaskStream,
  TimedTask,
  Timeline,
} from "./training/parallel/schedules/task.ts";

// Drawings: draw the timeline of a pipeline schedule.
export { type Picture, timelineSvg, type TimelineSvgOptions } from "./report/timeline-svg.ts";
export { type FigureTable, timelineHtml, type TimelinePage } from "./report/timeline-html.ts";
