// The simulator against what the papers state of their schedules.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { passCosts, type PassTimes } from "../../../src/planning/pipeline/pass-costs.ts";
import { simulateSchedule } from "../../../src/planning/pipeline/schedules.ts";
import type { ScheduleName } from "../../../src/training/parallel/schedules/table.ts";

const quarters = (from: number, to: number): fc.Arbitrary<number> =>
  fc.integer({ min: from, max: to }).map((value) => value / 4);
const times: fc.Arbitrary<PassTimes> = fc
  .record({ forward: quarters(1, 16), input: quarters(1, 16), weights: quarters(0, 16) })
  .map(({ forward, input, weights }) => ({ forward, backward: input + weights, weights }));
const stages = fc.integer({ min: 1, max: 8 });

const simulated = (name: ScheduleName, [p, m, v]: readonly [number, number, number], costs: PassTimes) => {
  const { report } = simulateSchedule(name, { stages: p, microBatches: m, chunks: v }, (chunks) =>
    passCosts(costs, chunks),
  );
  return { ...report, idle: report.stages.map(({ busy }) => report.makespan - busy) };
};

describe("GPipe and 1F1B", () => {
  test("idle for (p-1)(F+B) on every stage: a share of (p-1)/(m+p-1)", () => {
    fc.assert(
      fc.property(fc.constantFrom("gpipe", "1f1b"), stages, fc.integer({ min: 1, max: 20 }), times, (name, p, m, t) => {
        // 1F1B fills the pipeline only with as many micro-batches as stages; with fewer it is GPipe's time as well.
        const { idle, bubble } = simulated(name, [p, m, 1], t);
        for (const each of idle) expect(each).toBeCloseTo((p - 1) * (t.forward + t.backward), 9);
        expect(bubble).toBeCloseTo((p - 1) / (m + p - 1), 9);
      }),
    );
  });

  test("GPipe holds all m micro-batches, stage i of 1F1B holds min(p - i, m)", () => {
    fc.assert(
      fc.property(stages, fc.integer({ min: 1, max: 20 }), times, (p, m, t) => {
        const memory = (name: ScheduleName): number[] =>
          simulated(name, [p, m, 1], t).stages.map(({ peakMemory }) => peakMemory);
        expect(memory("gpipe")).toEqual(Array.from({ length: p }, () => m));
        expect(memory("1f1b")).toEqual(Array.from({ length: p }, (_, i) => Math.min(p - i, m)));
      }),
    );
  });
});

describe("interleaved 1F1B", () => {
  const groups = fc.integer({ min: 1, max: 4 });
  const chunks = fc.integer({ min: 1, max: 4 });

  test("idles for (p-1)(F+B)/v on every stage: a share of (p-1)/(vm+p-1)", () => {
    fc.assert(
      fc.property(stages, groups, chunks, times, (p, groups, v, t) => {
        const { idle, bubble } = simulated("interleaved", [p, p * groups, v], t);
        for (const each of idle) expect(each).toBeCloseTo(((p - 1) * (t.forward + t.backward)) / v, 9);
        expect(bubble).toBeCloseTo((p - 1) / (v * p * groups + p - 1), 9);
      }),
    );
  });

  test("holds p + (p-1)/v micro-batches on the first stage, once there are two groups and two chunks", () => {
    fc.assert(
      fc.property(stages, fc.integer({ min: 2, max: 4 }), fc.integer({ min: 2, max: 4 }), times, (p, groups, v, t) => {
        const { peakMemory, stages } = simulated("interleaved", [p, p * groups, v], t);
        expect(stages[0]!.peakMemory).toBeCloseTo(p + (p - 1) / v, 9);
        expect(peakMemory).toBe(stages[0]!.peakMemory);
      }),
    );
  });

  test("with one chunk is 1F1B's time", () => {
    const costs = { forward: 1, backward: 2.5, weights: 1 };
    expect(simulated("interleaved", [4, 8, 1], costs).makespan).toBe(simulated("1f1b", [4, 8, 1], costs).makespan);
  });
});

describe("ZB-H1", () => {
  // The formula lets W fill the gaps; where W is longer than F or B it does not fit and the bubble is larger.
  const fitting = times.filter(({ forward, backward, weights }) => weights <= Math.min(forward, backward - weights));

  test("idles for (p-1)(F + B_input - W) on every stage, where W is no longer than F and B_input", () => {
    fc.assert(
      fc.property(stages, fc.integer({ min: 0, max: 12 }), fitting, (p, more, t) => {
        const input = t.backward - t.weights;
        for (const each of simulated("zb-h1", [p, 2 * p + more, 1], t).idle)
          expect(each).toBeCloseTo((p - 1) * (t.forward + input - t.weights), 9);
      }),
    );
  });

  test("holds p micro-batches on every stage", () => {
    fc.assert(
      fc.property(stages, fc.integer({ min: 0, max: 12 }), times, (p, more, t) => {
        for (const { peakMemory } of simulated("zb-h1", [p, 2 * p + more, 1], t).stages) expect(peakMemory).toBe(p);
      }),
    );
  });
});

describe("DualPipe", () => {
  const half = fc.integer({ min: 1, max: 5 });
  // The published formula takes a forward pass to be as long as a backward pass for the input.
  const balanced = fc
    .record({ forward: quarters(4, 16), weights: fc.double({ min: 0, max: 1, noNaN: true }) })
    .map(({ forward, weights }) => ({ forward, backward: forward * (1 + weights), weights: forward * weights }));

  test("idles for (p/2-1)(F&B + B - 3W) where a forward pass is as long as a backward pass for the input", () => {
    fc.assert(
      fc.property(half, fc.integer({ min: 0, max: 6 }), balanced, (half, more, t) => {
        const both = t.forward + t.backward;
        for (const each of simulated("dualpipe", [2 * half, 4 * half + 2 * more, 1], t).idle)
          expect(each).toBeCloseTo((half - 1) * (both + t.backward - 3 * t.weights), 9);
      }),
    );
  });

  test("is p/2-1 such gaps on the middle stages where weaving saves time", () => {
    const t = { forward: 1, backward: 2, weights: 1, both: 2.5 };
    const { idle } = simulated("dualpipe", [8, 20, 1], t);
    expect(Math.max(...idle)).toBeCloseTo(3 * (2.5 + 2 - 3), 9);
  });

  test("holds p + 1 micro-batches on every stage", () => {
    fc.assert(
      fc.property(half, fc.integer({ min: 0, max: 6 }), balanced, (half, more, t) => {
        for (const { peakMemory } of simulated("dualpipe", [2 * half, 4 * half + 2 * more, 1], t).stages)
          expect(peakMemory).toBe(2 * half + 1);
      }),
    );
  });
});

describe("shapes that do not fit are refused with one that does", () => {
  const costs = () => passCosts({ forward: 1, backward: 2, weights: 1 });
  test.each([
    ["interleaved", { stages: 4, microBatches: 10, chunks: 2 }, /groups of its 4 stages, got 10; take 12/],
    ["dualpipe", { stages: 5, microBatches: 10, chunks: 1 }, /even number of stages, got 5; take 6/],
    ["dualpipe", { stages: 4, microBatches: 6, chunks: 1 }, /at least twice its 4 stages, got 6; take 8/],
    ["dualpipe", { stages: 4, microBatches: 11, chunks: 1 }, /even number of micro-batches.*got 11; take 12/],
    ["gpipe", { stages: 0, microBatches: 6, chunks: 1 }, /stages must be a whole number of at least 1, got 0/],
  ] as const)("%s %o", (name, shape, message) => {
    expect(() => simulateSchedule(name, shape, costs)).toThrow(message);
  });

  test("times that cannot be", () => {
    expect(() => passCosts({ forward: 1, backward: 1, weights: 2 })).toThrow(
      /weights \(2\) is a part of backward \(1\)/,
    );
    expect(() => passCosts({ forward: -1, backward: 2, weights: 1 })).toThrow(/time of forward must be 0 or more/);
  });
});
