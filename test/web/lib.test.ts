// What the page computes before it draws: which look a run has, and where finer points go.

import { describe, expect, test } from "vitest";
import { kindColours } from "../../src/report/figures/palette.ts";
import type { Curves, LiveValue, Series } from "../../src/report/server/messages.ts";
import { curves } from "../../src/training/scalars.ts";
import { addRow, isCoarse, onAxis, runCurves, smoothed, stepsWithin, withDetail } from "../../web/src/lib/curves.ts";
import { assignVariants, lookOf, striped } from "../../web/src/lib/looks.ts";

describe("looks", () => {
  test("begin with the connection's own colour, and fifteen of a connection differ in light and dark", () => {
    expect(lookOf("mhc", 0, false)).toEqual({ colour: kindColours.mhc, dash: [1, 0] });
    expect(lookOf("hc", 0, true).colour).toBe(kindColours.hc);
    for (const dark of [false, true]) {
      const looks = Array.from({ length: 15 }, (_, variant) => striped(lookOf("mhc", variant, dark)));
      expect(new Set(looks).size).toBe(15);
    }
    expect(lookOf("__proto__", 0, false).colour).toMatch(/^#[\da-f]{6}$/);
  });

  test("stay with the runs that are shown", () => {
    const variants = new Map<string, number>();
    const kindOf = (run: string): string => run[0]!;
    let before: string[] = [];
    const show = (...runs: string[]): number[] => {
      assignVariants(runs, kindOf, variants, new Set(before));
      before = runs;
      return runs.map((run) => variants.get(run)!);
    };
    expect(show("a1", "b1", "a2")).toEqual([0, 0, 1]);
    expect(show("b1", "a2")).toEqual([0, 1]);
    // The free one is taken; its former owner gets another when it comes back, wherever it stands in the list.
    expect(show("a3", "b1", "a2")).toEqual([0, 0, 1]);
    expect(show("a1", "a3", "a2")).toEqual([2, 0, 1]);
    expect(show("a1")).toEqual([2]);
  });
});

describe("curves in finer points", () => {
  const curvesOf = (loss: Series): Curves => {
    const none = { step: [], value: [] };
    const series = Object.fromEntries(curves.map(({ curve: { name } }) => [name, name === "loss" ? loss : none]));
    return {
      run: "a",
      cursor: "0-0",
      series: series as unknown as Curves["series"],
      clock: { step: [10, 30], value: [5, 25] },
    };
  };
  const whole = runCurves(
    curvesOf({ step: [0, 10, 20, 30, 40], value: [9, 8, 7, 6, 5], mean: { step: [19, 39], value: [8.5, 6.5] } }),
  );
  const fine = runCurves(curvesOf({ step: [11, 12, 13, 20], value: [1, 2, 3, 7] }));

  test("replace the coarse ones of their steps, the means too, and nothing else", () => {
    const { step, value, mean } = withDetail("loss", { whole, from: 11, to: 25, until: 40, fine });
    expect(step).toEqual([0, 10, 11, 12, 13, 20, 30, 40]);
    expect(value).toEqual([9, 8, 1, 2, 3, 7, 6, 5]);
    expect(mean).toEqual({ step: [11, 12, 13, 20, 39], value: [1, 2, 3, 7, 6.5] });
    expect([isCoarse(whole), isCoarse(fine)]).toEqual([true, false]);
  });

  test("leave what was recorded after they were asked for, up to the end of the stretch", () => {
    const { step } = withDetail("loss", { whole, from: 11, to: 100, until: 20, fine });
    expect(step).toEqual([0, 10, 11, 12, 13, 20, 30, 40]);
    const nothing = runCurves(curvesOf({ step: [], value: [] }));
    // A stretch that begins after the run's last step of then.
    expect(withDetail("loss", { whole, from: 35, to: 60, until: 20, fine: nothing }).step).toEqual([0, 10, 20, 30, 40]);
  });

  test("have gaps where values are not finite, live ones too, which smoothing passes over", () => {
    const run = runCurves(curvesOf({ step: [1, 2], value: [4, null] }));
    const values = (loss: LiveValue): LiveValue[] =>
      curves.map(({ curve: { name } }) => (name === "loss" ? loss : null));
    expect(addRow(run, [3, 9, ...values("not finite")])).toBe(true);
    expect(addRow(run, [4, 9, ...values(null)])).toBe(true);
    expect(addRow(run, [5, 9, ...values(2)])).toBe(true);
    expect(run.curves.loss).toMatchObject({ step: [1, 2, 3, 5], value: [4, null, null, 2] });
    const [first, second, third, last] = smoothed(run.curves.loss, 4);
    expect([first, second, third]).toEqual([4, null, null]);
    // Both weights by hand: the first value has one step's, which fades over the four to the second.
    const [early, late] = [Math.exp(-1) * (1 - Math.exp(-1 / 4)), 1 - Math.exp(-1)];
    expect(last).toBeCloseTo((4 * early + 2 * late) / (early + late), 12);
  });

  test("are asked for by the steps that lie within a stretch of any axis", () => {
    const { clock } = whole;
    expect(stepsWithin([10.4, 20.2], "step", 8, clock)).toEqual([10, 21]);
    expect(stepsWithin([-5, 161], "tokens", 8, clock)).toEqual([0, 21]);
    expect(stepsWithin(onAxis([12, 20], "time", 8, clock) as [number, number], "time", 8, clock)).toEqual([12, 20]);
    // Beyond the last known time, and before the first.
    expect(stepsWithin([0, 30], "time", 8, clock)).toEqual([0, 35]);
  });
});
