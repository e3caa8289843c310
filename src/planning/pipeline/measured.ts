// Question: what did a pipeline do, and what would the simulation have it do?
//
// A measured step in the form of a simulated one, so that the same code counts its idle time and draws it. Beside it the
// simulation of the same schedule with the mean time of each piece's passes and the shortest message: what is left
// between the two is what the simulation does not know, such as passes that take longer than their mean while a
// neighbour waits, and processes that disturb each other. With the time that each pass took itself, what is left is whether
// passes wait for what the schedule says, and for nothing else.

import { mean } from "../../basics/numbers.ts";
import type { PipelinePlan } from "../../training/parallel/pipeline/stage.ts";
import { keyOf } from "../../training/parallel/pipeline/stage-table.ts";
import type { DonePass, StageRecord } from "../../training/parallel/pipeline/timeline.ts";
import type { PipelineShape } from "../../training/parallel/schedules/orders.ts";
import { schedules } from "../../training/parallel/schedules/table.ts";
import type { PassPart, Piece, PipelineCosts, TaskStream, TimedTask } from "../../training/parallel/schedules/task.ts";
import { measure } from "./measure.ts";
import { simulateSchedule, type SimulatedSchedule } from "./schedules.ts";

/** A step that ran, and the simulation of it. Times are milliseconds. */
export interface MeasuredPipeline {
  readonly measured: SimulatedSchedule;
  readonly simulated: SimulatedSchedule;
}

/** Whose times the simulated passes have. */
export type PassTimes = "mean" | "own";

/**
 * @param records of all stages, in their order
 * @param microBatches of a step, through these stages
 * @param message how long a message takes, in milliseconds. Default: the shortest that was seen
 * @param times of the simulated passes: the mean of each piece's, or each its own
 */
export function comparePipeline(
  records: readonly StageRecord[],
  { schedule, mesh, chunks }: Pick<PipelinePlan, "schedule" | "mesh" | "chunks">,
  microBatches: number,
  message?: number,
  times: PassTimes = "mean",
): MeasuredPipeline {
  const shape: PipelineShape = { stages: mesh.pipeline, microBatches, chunks };
  const messages = messagesOf(records);
  const timeline = {
    stages: records.length,
    makespan: Math.max(...records.map(({ end }) => end)),
    tasks: [...records.flatMap(({ stage, passes }) => passes.map((pass) => taskOf(stage, pass))), ...messages].map(
      (task, id): TimedTask => ({ ...task, id }),
    ),
  };
  const measured: SimulatedSchedule = {
    schedule,
    shape,
    timeline,
    report: measure(timeline, schedules[schedule].chunks(shape)),
  };
  const shortest = Math.min(...messages.map(({ duration }) => duration));
  const costs = costsOf(records, message ?? (Number.isFinite(shortest) ? shortest : 0), times);
  return { measured, simulated: simulateSchedule(schedule, shape, () => costs) };
}

type Task = Omit<TimedTask, "id">;

const labels: Readonly<Record<DonePass["kind"], string>> = {
  forward: "F",
  backward: "B",
  weights: "W",
  recompute: "R",
};

const timed = (start: number, end: number): Pick<Task, "start" | "end" | "duration" | "segments"> => ({
  start,
  end,
  duration: end - start,
  segments: [[start, end]],
});

function taskOf(stage: number, { part, kind, start, end }: DonePass): Task {
  const stream: TaskStream = "compute";
  return { stage, stream, kind, label: labels[kind], parts: [part], after: [], ...timed(start, end) };
}

/** From the sender's clock to the receiver's: both began at the same barrier. */
function messagesOf(records: readonly StageRecord[]): Task[] {
  const arrivals = new Map(
    records.flatMap(({ stage, came }) => came.map(({ parcel, time }) => [keyOf(parcel), { to: stage, time }] as const)),
  );
  return records.flatMap(({ stage, sent }) =>
    sent.flatMap(({ parcel, time }): Task[] => {
      const arrival = arrivals.get(keyOf(parcel));
      if (!arrival) return [];
      const forward = parcel.kind === "state";
      const part: PassPart = {
        pass: forward ? "forward" : "backward",
        position: parcel.position + (forward ? -1 : 1),
        microBatch: parcel.microBatch,
      };
      const label = forward ? "PP(F)" : "PP(B)";
      const between = timed(time, Math.max(time, arrival.time));
      return [
        {
          stage,
          stream: "communication",
          kind: "message",
          label,
          parts: [part],
          after: [],
          to: arrival.to,
          ...between,
        },
      ];
    }),
  );
}

/** The mean time of every pass of every piece, or that of every single pass. */
function costsOf(records: readonly StageRecord[], message: number, whose: PassTimes): PipelineCosts {
  const times = new Map<string, number[]>();
  const keyOfPass = (kind: DonePass["kind"], { pass, position, microBatch }: PassPart): string =>
    `${kind} ${pass} ${position} ${whose === "own" ? microBatch : ""}`;
  for (const { passes } of records)
    for (const { kind, part, start, end } of passes) {
      const key = keyOfPass(kind, part);
      times.set(key, [...(times.get(key) ?? []), end - start]);
    }
  return {
    message,
    pieces(passes, slot = []) {
      const pieces: Piece[] = [];
      for (const [index, pass] of passes.entries()) {
        const { position = 0, microBatch = 0 } = slot[index] ?? {};
        const kind = pass === "forward" || pass === "weights" ? pass : "backward";
        const timeOf = (of: DonePass["kind"]): number | undefined => {
          const all = times.get(keyOfPass(of, { pass, position, microBatch }));
          return all && mean(all);
        };
        const stream: TaskStream = "compute";
        const common = { stream, parts: [index], after: [] };
        const early = kind === "backward" ? timeOf("recompute") : undefined;
        if (early !== undefined)
          pieces.push({ ...common, label: "R", kind: "recompute", duration: early, waits: "forward" });
        pieces.push({
          ...common,
          label: labels[kind],
          kind,
          duration: timeOf(kind) ?? 0,
          waits: "arrival",
          sends: true,
        });
      }
      return pieces;
    },
  };
}
