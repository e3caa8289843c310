// Rules on series made by hand: when they speak, of which sublayer, and how often.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AlarmName,
  alarmNames,
  alarmRules,
  type AlarmSubject,
  type Excursion,
  type Observation,
  watchAlarms,
} from "../../src/stability/alarms.ts";
import { figure8 } from "../../src/report/paper-figures.ts";
import type { Instruments } from "../../src/stability/instruments.ts";
import { secondModulus } from "../../src/stability/measure.ts";

const subject = (...doublyStochastic: boolean[]): AlarmSubject => ({
  chance: Math.log(256),
  doublyStochastic,
  constrained: doublyStochastic.every(Boolean),
  startsMixing: doublyStochastic,
});
const mhc = subject(true, true, true, true);
const hc = subject(false, false, false, false);

/** What a rule says of a series, by step from 1. */
function watch(
  rule: AlarmName,
  series: readonly Partial<Observation>[],
  { of = mhc, bound = alarmRules[rule].bound(of) }: { of?: AlarmSubject; bound?: number } = {},
): (Excursion & { step: number })[] {
  const watching = watchAlarms(new Map([[rule, bound]]), of);
  return series.flatMap((given, index) => {
    const now = { step: index + 1, loss: 3, gradientNorm: 1, ...given };
    return watching.see(now).map((excursion) => ({ ...excursion, step: now.step }));
  });
}
const stepsOf = (found: readonly { step: number }[]): number[] => found.map(({ step }) => step);
const losses = (...values: number[]): Partial<Observation>[] => values.map((loss) => ({ loss }));
const seen = (instruments: Instruments): Partial<Observation> => ({ instruments });
const composite = (forward: number[], backward = forward): Partial<Observation> =>
  seen({ composite: { forward, backward } });

describe("gain", () => {
  test("the paper's Fig. 7 and Fig. 3 pass and raise the alarm: 1.65 of mHC, 2,700 of HC", () => {
    expect(watch("gain", [composite([1, 1.01, 1, 1], [1.11, 1.55, 1.65, 1])])).toEqual([]);
    const [alarm] = watch("gain", [composite([18.7, 28, 9, 509], [259, 24, 2700, 12])], { of: hc });
    expect(alarm).toMatchObject({ rule: "gain", value: 2700, bound: 10, sublayer: 2 });
    expect(alarm!.message).toBe(
      "the largest composite gain, at sublayer 3 of 4, is 2700, above 10. Likely cause: nothing holds the sums of H_res " +
        "at one, and their products grow with depth. Use mHC with Sinkhorn-Knopp (--connection mhc), or lower the learning rate.",
    );
  });
  test("one alarm an excursion; it speaks again only after a value of at most 0.8 of the bound", () => {
    const gains = [9, 11, 50, 9, 11, 8.1, 11, 8, 10.5, 3];
    expect(
      stepsOf(
        watch(
          "gain",
          gains.map((gain) => composite([gain])),
          { of: hc },
        ),
      ),
    ).toEqual([2, 9]);
  });
  test("steps without a measurement tell nothing, and where only some sublayers mix, theirs is told", () => {
    const series = [seen({}), {}, seen({ composite: { forward: [1, 20], backward: [1, 2] }, sublayers: [1, 3] }), {}];
    expect(watch("gain", series, { of: hc })).toMatchObject([{ step: 3, sublayer: 3 }]);
  });
  test("a gain that is no number is an alarm", () => {
    expect(watch("gain", [composite([1, Number.NaN, 2])])).toMatchObject([{ value: Number.NaN, sublayer: 1 }]);
  });
});

describe("column error and saturation", () => {
  test("a tenth of a stream in most sublayers, and only where H_res is to be doubly stochastic", () => {
    const series = [0.035, 0.099, 0.12, 0.3].map((error) =>
      seen({ columnError: [0.01, error, error, 5, 5], rowError: [0, 0, 0, 0, 0], sublayers: [0, 1, 2, 4, 5] }),
    );
    const mixed = subject(true, true, true, true, false, false);
    expect(watch("column-error", series, { of: mixed })).toMatchObject([{ step: 3, value: 0.12 }]);
    expect(watch("column-error", series, { of: subject(false, false, false, false, false, false) })).toEqual([]);
  });
  test("one sublayer that is far off is none, and neither are two of four", () => {
    expect(watch("column-error", [seen({ columnError: [0, 0.04, 0.9, 1] })])).toEqual([]);
    expect(watch("column-error", [seen({ columnError: [0, 0.2, 0.9, Number.NaN] })])).toMatchObject([{ value: 0.2 }]);
  });

  test("rows count where columns are normalised last", () => {
    const series = [seen({ columnError: [1e-16, 1e-16], rowError: [0.9, 0.9] })];
    expect(watch("column-error", series)).toMatchObject([{ value: 0.9 }]);
  });

  const hardness = (...values: number[]): Partial<Observation> => seen({ secondEigenvalue: values });
  test("streams that are kept apart in most sublayers", () => {
    const series = [hardness(0.93, 0.93, 0.93), hardness(0.95, 1, 0.98), hardness(0.95, 1, 0.995), hardness(1, 1, 1)];
    const found = watch("saturation", series);
    expect(found).toMatchObject([{ step: 3, value: 0.995 }]);
    expect(found[0]!.message).toMatch(/^the \|λ₂\| of H_res that most sublayers reach is 0\.995, above 0\.99\. /);
  });
  test("sublayers that keep them apart from the start do not count", () => {
    expect(watch("saturation", [hardness(1, 1, 0.93)], { of: subject(false, false, true) })).toEqual([]);
    expect(watch("saturation", [hardness(1, 1, 1)], { of: hc })).toEqual([]);
  });
  test("the mixing that the paper prints of its 27B model is not saturated", () => {
    for (const { matrix } of figure8.mhc)
      if (matrix) expect(secondModulus(matrix, 4)).toBeLessThan(alarmRules.saturation.bound(mhc));
  });
});

describe("spike", () => {
  const calm = Array<number>(50).fill(3);
  test("0.3 nats above the median where the loss is calm", () => {
    expect(watch("spike", losses(...calm, 3.29))).toEqual([]);
    expect(watch("spike", losses(...calm, 3.31))).toMatchObject([{ step: 51, bound: 4 }]);
  });
  test("4 deviations where it is not", () => {
    // Half of them 2, half 4: the median is 3 and the deviation 1.
    const noisy = calm.map((_, index) => (index % 2 === 0 ? 2 : 4));
    expect(watch("spike", losses(...noisy, 6.9))).toEqual([]);
    expect(watch("spike", losses(...noisy, 7.1))[0]!.value).toBeCloseTo(4.1, 12);
  });
  test("twenty steps are needed, and an excursion of many steps is one alarm", () => {
    expect(watch("spike", losses(...calm.slice(0, 19), 9))).toEqual([]);
    expect(stepsOf(watch("spike", losses(...calm.slice(0, 20), 9, 9, 9, 3, 3)))).toEqual([21]);
  });
  test("a loss that falls as in training raises none", () => {
    const falling = Array.from({ length: 400 }, (_, step) => 2 + 4 * Math.exp(-step / 60) + 0.05 * Math.sin(37 * step));
    expect(watch("spike", losses(...falling))).toEqual([]);
  });
});

test("gradient: ten times the running median", () => {
  const norms = [...Array<number>(30).fill(0.5), 4.9, 5.1, 6, 0.5, 7];
  expect(
    stepsOf(
      watch(
        "gradient",
        norms.map((gradientNorm) => ({ gradientNorm })),
      ),
    ),
  ).toEqual([32, 35]);
});

test("diverged: twenty losses in a row more than two nats above chance", () => {
  const high = Math.log(256) + 2.5;
  const short = Array<number>(19).fill(high);
  expect(watch("diverged", losses(...short, 3, ...short))).toEqual([]);
  expect(watch("diverged", losses(3, ...short, high, high))).toMatchObject([{ step: 21 }]);
});

test("not-finite: the loss or the gradient", () => {
  expect(stepsOf(watch("not-finite", losses(3, Number.NaN)))).toEqual([2]);
  expect(stepsOf(watch("not-finite", [{}, { gradientNorm: Number.POSITIVE_INFINITY }]))).toEqual([2]);
});

const record = fc.record({
  loss: fc.oneof(fc.double(), fc.double({ min: 0, max: 20 })),
  gradientNorm: fc.oneof(fc.double(), fc.double({ min: 0, max: 100 })),
  instruments: fc.record({
    composite: fc.record({
      forward: fc.array(fc.double(), { maxLength: 4 }),
      backward: fc.array(fc.double(), { maxLength: 4 }),
    }),
    columnError: fc.array(fc.double(), { maxLength: 4 }),
    smallestLogit: fc.array(fc.option(fc.double()), { maxLength: 4 }),
    largestLogit: fc.array(fc.option(fc.double()), { maxLength: 4 }),
  }),
});

test("whatever the records: a message is one line, and no rule speaks twice without coming back between", () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 60 }), (series) => {
      for (const rule of alarmNames) {
        const steps = watch(rule, series);
        for (const { message } of steps) expect(message).not.toMatch(/[\n\r]/);
        const { bound, rearm, see } = alarmRules[rule];
        const all = series.map((given, index) => ({ ...given, step: index + 1 }));
        const cameBack = (index: number): boolean => {
          const found = see(all[index]!, all.slice(Math.max(0, index - 50), index), mhc);
          return found !== undefined && found.value <= bound(mhc) * rearm;
        };
        for (const [at, { step }] of steps.entries())
          if (at > 0) expect(all.slice(steps[at - 1]!.step, step - 1).some((now) => cameBack(now.step - 1))).toBe(true);
      }
    }),
    { numRuns: 60 },
  );
});
