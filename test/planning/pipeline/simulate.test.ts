// Laws that hold for every schedule, every shape and every cost.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fullOverlap, layerCosts, type LayerTimes, noOverlap } from "../../../src/planning/pipeline/layer-costs.ts";
import { measure } from "../../../src/planning/pipeline/measure.ts";
import { passCosts } from "../../../src/planning/pipeline/pass-costs.ts";
import { simulateSchedule } from "../../../src/planning/pipeline/schedules.ts";
import { scheduleNames, schedules } from "../../../src/training/parallel/schedules/table.ts";
import { criticalPath, simulate } from "../../../src/planning/pipeline/simulate.ts";
import type { PipelineCosts, PipelineTask, TimedTask } from "../../../src/training/parallel/schedules/task.ts";

// Quarters add without rounding.
const time = fc.integer({ min: 0, max: 16 }).map((quarters) => quarters / 4);
const some = fc.integer({ min: 1, max: 16 }).map((quarters) => quarters / 4);
const both = fc.record({ forward: time, backward: time });
const compute = fc.record({ forward: some, input: some, weights: some });
const layer: fc.Arbitrary<LayerTimes> = fc.record({
  attention: compute,
  mlp: compute,
  dispatch: time,
  combine: time,
  connection: fc.record({ pre: both, post: both, recompute: time }),
  message: time,
});
const shape = fc
  .record({
    half: fc.integer({ min: 1, max: 3 }),
    rounds: fc.integer({ min: 2, max: 4 }),
    chunks: fc.integer({ min: 1, max: 2 }),
  })
  .map(({ half, rounds, chunks }) => ({ stages: 2 * half, microBatches: 2 * half * rounds, chunks }));
const costs: fc.Arbitrary<(chunks: number) => PipelineCosts> = fc.oneof(
  fc
    .record({ forward: some, rest: time, weights: some, both: some, message: time })
    .map(({ rest, ...times }) => passCosts({ ...times, backward: times.weights + rest }))
    .map((made) => () => made),
  fc
    .record({ layer, layers: fc.integer({ min: 1, max: 2 }), priority: fc.boolean(), decoupled: fc.boolean() })
    .map(({ layer, layers, priority, decoupled }) => {
      const made = layerCosts(layer, layers, { priority, decoupled });
      return () => made;
    }),
);
const run = fc
  .record({ name: fc.constantFrom(...scheduleNames), shape, costs })
  .map(({ name, shape, costs }) => simulateSchedule(name, shape, costs));

const processor = ({ stage, stream }: PipelineTask): string =>
  `${stage} ${stream === "communication" ? "link" : "compute"}`;

describe("every schedule", () => {
  test("runs every task once, for its duration", () => {
    fc.assert(
      fc.property(run, ({ timeline, shape, schedule }) => {
        const ran = timeline.tasks.filter(
          ({ segments, duration, start, end }) =>
            segments.reduce((sum, [from, to]) => sum + to - from, 0) === duration &&
            segments[0]![0] === start &&
            segments.at(-1)![1] === end,
        );
        expect(ran.length).toBe(timeline.tasks.length);
        const positions = shape.stages * schedules[schedule].chunks(shape);
        const passes = (kinds: readonly string[]): Set<string> =>
          new Set(
            timeline.tasks
              .flatMap(({ parts }) => parts)
              .filter(({ pass }) => kinds.includes(pass))
              .map(({ position, microBatch }) => `${position} ${microBatch}`),
          );
        for (const kinds of [["forward"], ["backward", "input"], ["backward", "weights"]])
          expect(passes(kinds).size).toBe(positions * shape.microBatches);
      }),
    );
  });

  test("starts no task before those it waits for have ended", () => {
    fc.assert(
      fc.property(run, ({ timeline }) => {
        const early = timeline.tasks.filter(({ after, start }) => after.some((id) => timeline.tasks[id]!.end > start));
        expect(early).toEqual([]);
      }),
    );
  });

  test("passes forward in the order of positions, and backward after it", () => {
    fc.assert(
      fc.property(run, ({ timeline }) => {
        const span = new Map<string, [start: number, end: number]>();
        for (const { parts, kind, start, end } of timeline.tasks)
          if (kind === "forward" || kind === "backward" || kind === "both")
            for (const { pass, position, microBatch } of parts) {
              const key = `${pass === "forward" ? pass : "backward"} ${position} ${microBatch}`;
              const [from, to] = span.get(key) ?? [start, end];
              span.set(key, [Math.min(from, start), Math.max(to, end)]);
            }
        for (const [key, [start]] of span) {
          const [pass, position, microBatch] = key.split(" ");
          const before =
            pass === "forward" ? `forward ${Number(position) - 1} ${microBatch}` : `forward ${position} ${microBatch}`;
          expect(span.get(before)?.[1] ?? 0).toBeLessThanOrEqual(start);
          if (pass === "backward")
            expect(span.get(`backward ${Number(position) + 1} ${microBatch}`)?.[1] ?? 0).toBeLessThanOrEqual(start);
        }
      }),
    );
  });

  test("never runs two tasks on one processor at a time", () => {
    fc.assert(
      fc.property(run, ({ timeline }) => {
        const lanes = Map.groupBy(timeline.tasks, processor);
        for (const tasks of lanes.values()) {
          const segments = tasks
            .flatMap(({ segments }) => segments)
            .filter(([start, end]) => end > start)
            .sort((a, b) => a[0] - b[0]);
          expect(segments.filter(([start], i) => i > 0 && segments[i - 1]![1] > start)).toEqual([]);
        }
      }),
    );
  });

  test("takes at least the critical path and at least the busiest processor", () => {
    fc.assert(
      fc.property(run, ({ timeline, report }) => {
        expect(report.makespan).toBeGreaterThanOrEqual(criticalPath(timeline.tasks));
        const busy = new Map<string, number>();
        for (const task of timeline.tasks) busy.set(processor(task), (busy.get(processor(task)) ?? 0) + task.duration);
        for (const sum of busy.values()) expect(report.makespan).toBeGreaterThanOrEqual(sum);
        for (const { stage, busy: computed, bubble, exposed } of report.stages) {
          expect(computed).toBe(busy.get(`${stage} compute`));
          expect(bubble).toBeCloseTo(1 - computed / report.makespan, 12);
          expect(exposed).toBeLessThanOrEqual(report.makespan - computed);
          expect(exposed).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });

  test("is the same timeline every time", () => {
    fc.assert(
      fc.property(fc.constantFrom(...scheduleNames), shape, costs, (name, shape, costs) => {
        const [first, second] = [simulateSchedule(name, shape, costs), simulateSchedule(name, shape, costs)];
        expect(second.timeline).toEqual(first.timeline);
      }),
      { numRuns: 20 },
    );
  });
});

const task = (id: number, more: Partial<PipelineTask>): PipelineTask => ({
  id,
  stage: 0,
  stream: "compute",
  kind: "forward",
  label: `task ${id}`,
  duration: 1,
  parts: [{ pass: "forward", position: 0, microBatch: id }],
  after: [],
  ...more,
});
const spans = (tasks: readonly TimedTask[]): unknown => tasks.map(({ segments }) => segments);

describe("streams", () => {
  test("a priority task interrupts the computation, which continues after it and takes as long as before", () => {
    const { tasks, makespan } = simulate(
      [
        task(0, { stream: "communication", duration: 2 }),
        task(1, { duration: 5 }),
        task(2, { stream: "priority", duration: 1, after: [0] }),
        task(3, { duration: 1 }),
      ],
      1,
    );
    expect(spans(tasks)).toEqual([
      [[0, 2]],
      [
        [0, 2],
        [3, 6],
      ],
      [[2, 3]],
      [[6, 7]],
    ]);
    expect(makespan).toBe(7);
  });

  test("computation keeps its order although a later task could run, transfers go as they come", () => {
    const { tasks } = simulate(
      [
        task(0, { stage: 1, duration: 3 }),
        task(1, { after: [0] }),
        task(2, {}),
        task(3, { stream: "communication", after: [1] }),
        task(4, { stream: "communication", duration: 2 }),
      ],
      2,
    );
    expect(spans(tasks)).toEqual([[[0, 3]], [[3, 4]], [[4, 5]], [[4, 5]], [[0, 2]]]);
  });

  test("an order that cannot run is refused with what each stage waits for", () => {
    expect(() => simulate([task(0, { after: [1] }), task(1, {})], 1)).toThrow(
      /0 of 2 tasks ended.*\n {2}stage 0 waits to run task 0 \(micro-batch 0, position 0\)/,
    );
  });
});

describe("measures", () => {
  test("a message that nothing hides is exposed on both of its ends", () => {
    const tasks = [
      task(0, { duration: 2 }),
      task(1, { stream: "communication", kind: "message", duration: 3, after: [0], to: 1 }),
      task(2, { stage: 1, duration: 2, after: [1] }),
    ];
    const { stages, makespan, exposed } = measure(simulate(tasks, 2));
    expect(makespan).toBe(7);
    expect(stages.map((stage) => stage.exposed)).toEqual([3, 3]);
    expect(exposed).toBeCloseTo(3 / 7, 12);
    expect(stages.map(({ communication }) => communication)).toEqual([3, 0]);
  });
});

describe("costs of layers", () => {
  const times: LayerTimes = {
    attention: { forward: 1, input: 1.5, weights: 0.5 },
    mlp: { forward: 2, input: 2, weights: 2 },
    dispatch: 1,
    combine: 1,
    connection: {
      pre: { forward: 0.25, backward: 0.5 },
      post: { forward: 0.25, backward: 0.5 },
      recompute: 0.75,
    },
    message: 0.5,
  };

  test("weaving, splitting and overlap change when work is done and never how much", () => {
    const work = (
      passes: readonly Parameters<PipelineCosts["pieces"]>[0][],
      overlap = fullOverlap,
    ): Record<string, number> => {
      const sums: Record<string, number> = {};
      for (const each of passes)
        for (const { label, duration } of layerCosts(times, 3, overlap).pieces(each))
          sums[label] = (sums[label] ?? 0) + duration;
      return sums;
    };
    const apart = work([["forward"], ["backward"]]);
    expect(work([["forward", "backward"]])).toEqual(apart);
    expect(work([["forward", "backward"]], noOverlap)).toEqual(apart);
    expect(work([["forward"], ["input"], ["weights"]])).toEqual(apart);
    expect(apart).toMatchObject({ "ATTN(F)": 3, "MLP(W)": 6, "DISPATCH(B)": 3, "post^M(B)": 1.5, recompute: 2.25 });
  });

  test("decoupled recomputation runs before the gradient comes, coupled recomputation after it", () => {
    const recomputeAndArrival = (decoupled: boolean): [recompute: number, arrival: number] => {
      const { timeline } = simulateSchedule("1f1b", { stages: 2, microBatches: 4, chunks: 1 }, () =>
        layerCosts(times, 1, { priority: true, decoupled }),
      );
      const of = (label: string): TimedTask =>
        timeline.tasks.find(({ label: each, parts }) => each === label && parts[0]!.microBatch === 0)!;
      return [of("recompute").start, of("PP(B)").end];
    };
    const [early, gradient] = recomputeAndArrival(true);
    expect(early).toBeLessThan(gradient);
    const [late, coupledGradient] = recomputeAndArrival(false);
    expect(late).toBeGreaterThanOrEqual(coupledGradient);
  });
});
