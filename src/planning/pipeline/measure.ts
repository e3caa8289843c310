// Question: how much idle time, memory and exposed communication does a timeline have?

import type { PassPart, TimedTask, Timeline } from "../../training/parallel/schedules/task.ts";

/** What one stage does in a step. Times are in the unit of the costs. */
export interface StageReport {
  readonly stage: number;
  /** Time in which it computes. */
  readonly busy: number;
  /** Share of the makespan in which it does not compute. */
  readonly bubble: number;
  /** Time its link is busy. */
  readonly communication: number;
  /** Idle time while its link is busy or a message to it is on its way: communication that no computation hides. */
  readonly exposed: number;
  /** Most micro-batches whose activations it holds at once; 1 is one micro-batch through one stage's share of the model. */
  readonly peakMemory: number;
}

/** The totals of a step. Times are in the unit of the costs. */
export interface TimelineReport {
  readonly makespan: number;
  /** Share of all stages' time in which they do not compute. */
  readonly bubble: number;
  /** The largest of all stages. */
  readonly peakMemory: number;
  /** Mean over the stages, as a share of the makespan. */
  readonly exposed: number;
  readonly stages: readonly StageReport[];
}

type Interval = readonly [start: number, end: number];

/**
 * Measure a timeline.
 *
 * @param chunks pieces of the model on a stage: a pass over one holds 1/chunks of a micro-batch's activations.
 * They are held from the start of the forward pass to the end of the last backward pass, for inputs or weights.
 */
export function measure(timeline: Timeline, chunks = 1): TimelineReport {
  const { makespan } = timeline;
  const byStage = Array.from({ length: timeline.stages }, (): TimedTask[] => []);
  const incoming = Array.from({ length: timeline.stages }, (): TimedTask[] => []);
  for (const task of timeline.tasks) {
    byStage[task.stage]!.push(task);
    if (task.to !== undefined) incoming[task.to]!.push(task);
  }
  const stages = byStage.map((tasks, stage): StageReport => {
    const computing = union(tasks.filter(({ stream }) => stream !== "communication"));
    const link = tasks.filter(({ stream }) => stream === "communication");
    const busy = total(computing);
    const moving = union([...link, ...incoming[stage]!]);
    return {
      stage,
      busy,
      bubble: makespan > 0 ? 1 - busy / makespan : 0,
      communication: total(union(link)),
      exposed: total(moving) - common(moving, computing),
      peakMemory: peak(tasks) / chunks,
    };
  });
  const sum = (value: (stage: StageReport) => number): number => stages.reduce((all, stage) => all + value(stage), 0);
  const time = makespan * stages.length || 1;
  return {
    makespan,
    bubble: 1 - sum(({ busy }) => busy) / time,
    peakMemory: Math.max(...stages.map(({ peakMemory }) => peakMemory)),
    exposed: sum(({ exposed }) => exposed) / time,
    stages,
  };
}

/** Segments of tasks as intervals that do not touch, in order. */
function union(tasks: readonly TimedTask[]): Interval[] {
  const joined: [number, number][] = [];
  for (const [start, end] of tasks.flatMap(({ segments }) => segments).sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else joined.push([start, end]);
  }
  return joined;
}

const total = (intervals: readonly Interval[]): number => intervals.reduce((sum, [start, end]) => sum + end - start, 0);

function common(a: readonly Interval[], b: readonly Interval[]): number {
  let sum = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    sum += Math.max(0, Math.min(a[i]![1], b[j]![1]) - Math.max(a[i]![0], b[j]![0]));
    if (a[i]![1] < b[j]![1]) i++;
    else j++;
  }
  return sum;
}

/** Most pairs of position and micro-batch that are alive at once. A pair that ends at a moment no longer counts then. */
function peak(tasks: readonly TimedTask[]): number {
  const lives = new Map<string, [start: number, end: number]>();
  const grow = ({ position, microBatch }: PassPart, { start, end }: TimedTask): void => {
    const life = lives.get(`${position} ${microBatch}`);
    if (!life) lives.set(`${position} ${microBatch}`, [start, end]);
    else {
      life[0] = Math.min(life[0], start);
      life[1] = Math.max(life[1], end);
    }
  };
  // Messages do not count: their contents have been copied to a separate buffer.
  for (const task of tasks) if (task.kind !== "message") for (const part of task.parts) grow(part, task);
  const events = [...lives.values()].flatMap(([start, end]): [number, number][] => [
    [start, 1],
    [end, -1],
  ]);
  let held = 0;
  let most = 0;
  for (const [, change] of events.sort((a, b) => a[0] - b[0] || a[1] - b[1])) most = Math.max(most, (held += change));
  return most;
}
