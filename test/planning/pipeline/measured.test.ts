// A step that ran as its schedule says is what the simulation with the times of its passes gives, however uneven they are.

import fc from "fast-check";
import { expect, test } from "vitest";
import { comparePipeline } from "../../../src/planning/pipeline/measured.ts";
import { simulateSchedule } from "../../../src/planning/pipeline/schedules.ts";
import { parcelOf } from "../../../src/training/parallel/pipeline/stage-table.ts";
import type { DonePass, StageRecord } from "../../../src/training/parallel/pipeline/timeline.ts";
import type { PipelineCosts } from "../../../src/training/parallel/schedules/task.ts";

/** A step in which each pass takes the next of these times, as the stages would record it. */
function recordsOf(stages: number, microBatches: number, times: readonly number[], message: number): StageRecord[] {
  let next = 0;
  const costs: PipelineCosts = {
    message,
    pieces: ([pass]) => [
      {
        label: pass!,
        kind: pass === "forward" ? "forward" : "backward",
        stream: "compute",
        parts: [0],
        after: [],
        waits: "arrival",
        sends: true,
        duration: times[next++ % times.length]!,
      },
    ],
  };
  const { tasks } = simulateSchedule("1f1b", { stages, microBatches, chunks: 1 }, () => costs).timeline;
  return Array.from({ length: stages }, (_, stage): StageRecord => {
    const passes = tasks.flatMap(({ stage: of, kind, parts, start, end }): DonePass[] =>
      of === stage && kind !== "message" ? [{ part: parts[0]!, kind: kind as DonePass["kind"], start, end }] : [],
    );
    const messages = tasks.filter(({ kind }) => kind === "message");
    const seen = (which: "stage" | "to", when: "start" | "end") =>
      messages
        .filter((each) => each[which] === stage)
        .map((each) => ({ parcel: parcelOf(each.parts[0]!, stages)!, time: each[when] }));
    return { stage, passes, sent: seen("stage", "start"), came: seen("to", "end"), end: passes.at(-1)!.end };
  });
}

const plan = (pipeline: number) => ({ schedule: "1f1b", chunks: 1, mesh: { data: 1, pipeline, expert: 1 } }) as const;

test("with its own times each pass begins when it did", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 4 }),
      fc.integer({ min: 1, max: 6 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 5, maxLength: 40 }),
      fc.integer({ min: 0, max: 9 }),
      (stages, microBatches, times, message) => {
        const records = recordsOf(stages, microBatches, times, message);
        const { measured, simulated } = comparePipeline(records, plan(stages), microBatches, message, "own");
        expect(simulated.timeline.makespan).toBeCloseTo(measured.timeline.makespan, 6);
        expect(simulated.report.bubble).toBeCloseTo(measured.report.bubble, 6);
      },
    ),
  );
});

test("mean times do not say who waited for a pass that took long", () => {
  const records = recordsOf(2, 4, [10, 10, 10, 50], 0);
  const bubbles = (["own", "mean"] as const).map(
    (times) => comparePipeline(records, plan(2), 4, 0, times).simulated.report.bubble,
  );
  const { measured } = comparePipeline(records, plan(2), 4, 0);
  expect(bubbles[0]).toBeCloseTo(measured.report.bubble, 6);
  expect(Math.abs(bubbles[1]! - bubbles[0]!)).toBeGreaterThan(0.01);
});
