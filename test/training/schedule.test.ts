// Learning rates of a run: the rise, and each kind of fall.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { OptimizerConfig, ScheduleConfig } from "../../src/training/config.ts";
import { learningRate } from "../../src/training/schedule.ts";
import { tinyTraining } from "./tiny.ts";

const optimizer = (schedule: ScheduleConfig, warmup = 0): OptimizerConfig => ({
  ...tinyTraining("residual").optimizer,
  learningRate: 2,
  warmup,
  schedule,
});
const rates = (given: OptimizerConfig, steps: number): number[] =>
  Array.from({ length: steps }, (_, index) => learningRate(given, index + 1, steps));

describe("schedules", () => {
  test("step: 80 % of the steps at the full rate, 10 % at 0.316 of it, 10 % at a tenth", () => {
    const all = rates(optimizer({ kind: "step" }), 100);
    expect(all).toEqual([...Array(80).fill(2), ...Array(10).fill(2 * 0.316), ...Array(10).fill(0.2)]);
  });
  test("cosine: from the full rate through the middle to the final share", () => {
    const all = rates(optimizer({ kind: "cosine", final: 0.1 }), 1000);
    expect(all[0]).toBe(2);
    expect(all[500]).toBeCloseTo(2 * 0.55, 12);
    expect(all[999]).toBeCloseTo(0.2, 4);
    expect(all.slice(1).every((rate, index) => rate < all[index]!)).toBe(true);
  });
  test("constant", () => {
    expect(rates(optimizer({ kind: "constant" }), 5)).toEqual([2, 2, 2, 2, 2]);
  });
  test("the rate rises linearly over the warm-up, from its first share and not from zero", () => {
    expect(rates(optimizer({ kind: "constant" }, 4), 6)).toEqual([0.5, 1, 1.5, 2, 2, 2]);
  });
});

test("a rate is positive and never above the highest", () => {
  const schedule: fc.Arbitrary<ScheduleConfig> = fc.oneof(
    fc.constant({ kind: "step" } as const),
    fc.constant({ kind: "constant" } as const),
    fc.record({ kind: fc.constant("cosine" as const), final: fc.double({ min: 0.001, max: 1, noNaN: true }) }),
  );
  fc.assert(
    fc.property(schedule, fc.nat(50), fc.integer({ min: 1, max: 200 }), (kind, warmup, steps) => {
      for (const rate of rates(optimizer(kind, warmup), steps)) {
        expect(rate).toBeGreaterThan(0);
        expect(rate).toBeLessThanOrEqual(2);
      }
    }),
  );
});
