// What a sweep counts and measures, on series and curves made by hand whose answers are known.

import { describe, expect, test } from "vitest";
import { given } from "../../../src/basics/given.ts";
import {
  analyseSweep,
  countGradientExcursions,
  countLossSpikes,
  optimumRate,
  rateTolerance,
  seedBand,
  type SweepResult,
} from "../../../src/runs/sweep/analysis.ts";

/** A fall with a little regular noise: median and deviation are the same everywhere. */
const falling = Array.from({ length: 100 }, (_, i) => 5 - 0.002 * i + (i % 2 === 0 ? 0.01 : -0.01));
const raised = (values: readonly number[], by: number, ...steps: number[]): number[] =>
  values.map((value, i) => value + (steps.includes(i) ? by : 0));

describe("loss spikes", () => {
  test("a quiet run has none, nor has its start", () => {
    expect(countLossSpikes(falling)).toBe(0);
    expect(countLossSpikes([9, 1, 8, 2, 7, 3])).toBe(0);
  });
  test("steps together are one, apart they are several", () => {
    expect(countLossSpikes(raised(falling, 1, 30))).toBe(1);
    expect(countLossSpikes(raised(falling, 1, 30, 31, 32, 33))).toBe(1);
    expect(countLossSpikes(raised(falling, 1, 30, 32, 60))).toBe(3);
  });
  test("one that never ends counts once", () => {
    expect(countLossSpikes(falling.map((value, i) => (i < 50 ? value : value + 2)))).toBe(1);
  });
  test("both bounds must be passed: 0.1 nats, and 6 deviations of a noisy run", () => {
    expect(countLossSpikes(raised(falling, 0.08, 50))).toBe(0);
    expect(countLossSpikes(raised(falling, 0.25, 50))).toBe(1);
    // The median of |0.2 sin| is 0.14, so 6 σ is about 1.26.
    const noisy = Array.from({ length: 100 }, (_, i) => 5 + 0.2 * Math.sin(2.4 * i));
    expect(countLossSpikes(raised(noisy, 0.9, 50))).toBe(0);
    expect(countLossSpikes(raised(noisy, 2, 50))).toBe(1);
  });
  test("what is not finite is above everything", () => {
    expect(countLossSpikes([...falling, Number.NaN, Number.NaN, Infinity])).toBe(1);
  });
});

test("gradient excursions are above five times the running median", () => {
  const norms = Array.from({ length: 60 }, () => 2);
  expect(countGradientExcursions(norms)).toBe(0);
  expect(countGradientExcursions(raised(norms, 7.9, 30))).toBe(0);
  expect(countGradientExcursions(raised(norms, 8.1, 30, 31, 50))).toBe(2);
});

const rates = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1];
const parabola = (best: number, curvature: number) =>
  rates.map((learningRate) => ({
    learningRate,
    bitsPerByte: 2 + curvature * Math.log10(learningRate / best) ** 2,
  }));

describe("the optimum", () => {
  test("of a parabola in log-rate is its vertex", () => {
    const { learningRate, measured, interpolated } = optimumRate(parabola(2e-3, 0.3))!;
    expect(learningRate).toBeCloseTo(2e-3, 12);
    expect({ measured, interpolated }).toEqual({ measured: 3e-3, interpolated: true });
  });
  test("at an end, or beside a divergence, is the measured rate", () => {
    expect(optimumRate(parabola(1e-6, 0.3))).toMatchObject({ learningRate: 1e-4, measured: 1e-4, interpolated: false });
    const broken = parabola(2e-3, 0.3).map((point) =>
      point.learningRate > 5e-3 ? { ...point, bitsPerByte: Infinity } : point,
    );
    expect(optimumRate(broken)).toMatchObject({ learningRate: 3e-3, interpolated: false });
  });
  test("needs a finite loss", () => {
    expect(optimumRate([{ learningRate: 1, bitsPerByte: Infinity }])).toBeUndefined();
    expect(rateTolerance([])).toBeUndefined();
  });
});

describe("the tolerance", () => {
  const wedge = (slope: number) =>
    [-3, -2, -1, 0, 1, 2, 3].map((decade) => ({
      learningRate: 10 ** decade,
      bitsPerByte: 2 + slope * Math.abs(decade),
    }));
  test("of a wedge is where its sides cross the bound", () => {
    const { low, high, decades, openLow, openHigh } = rateTolerance(wedge(0.1), 0.05)!;
    expect([low, high, decades]).toEqual([10 ** -0.5, 10 ** 0.5, 1].map((x) => expect.closeTo(x, 9)));
    expect([openLow, openHigh]).toEqual([false, false]);
    expect(rateTolerance(wedge(0.1), 0.15)!.decades).toBeCloseTo(3, 9);
  });
  test("of a dense parabola is 2 √(bits / curvature)", () => {
    const dense = Array.from({ length: 201 }, (_, i) => ({ x: -2 + i / 50 })).map(({ x }) => ({
      learningRate: 10 ** x,
      bitsPerByte: 1 + 0.2 * x * x,
    }));
    expect(rateTolerance(dense, 0.05)!.decades).toBeCloseTo(1, 3);
  });
  test("says where the rates end before it does, and stops before a divergence", () => {
    expect(rateTolerance(wedge(0.001), 0.05)).toMatchObject({ low: 1e-3, high: 1e3, openLow: true, openHigh: true });
    const broken = wedge(0.001).map((point) => (point.learningRate > 5 ? { ...point, bitsPerByte: Infinity } : point));
    expect(rateTolerance(broken, 0.05)).toMatchObject({ high: 1, openLow: true, openHigh: false });
  });
});

test("the band of seeds", () => {
  expect(seedBand([1, 2, 3, 6])).toEqual({ mean: 3, min: 1, max: 6, deviation: Math.sqrt(14 / 3) });
  expect(seedBand([2])).toEqual({ mean: 2, min: 2, max: 2 });
  expect(seedBand([])).toBeUndefined();
});

test("groups, and a rate at which one seed of two diverged", () => {
  const run = (learningRate: number, seed: number, bitsPerByte: number | undefined): SweepResult => ({
    name: "",
    values: {},
    group: { connection: "hc" },
    learningRate,
    seed,
    diverged: bitsPerByte === undefined,
    steps: 9,
    ...given({ bitsPerByte }),
    lossSpikes: 1,
    gradientExcursions: 2,
    largestGradientNorm: 3,
    seconds: 1,
  });
  const [group] = analyseSweep([
    run(1e-2, 1, undefined),
    run(1e-2, 2, 1),
    run(1e-3, 1, 2.5),
    run(1e-3, 2, 2.7),
    run(1e-4, 1, 3),
    run(1e-4, 2, 3),
  ]);
  expect(group).toMatchObject({
    runs: 6,
    diverged: 1,
    lossSpikes: 6,
    gradientExcursions: 12,
    edge: 1e-3,
    optimum: { measured: 1e-3, bitsPerByte: expect.closeTo(2.6, 9) },
  });
  expect(group!.rates.map(({ learningRate, diverged }) => [learningRate, diverged])).toEqual([
    [1e-4, 0],
    [1e-3, 0],
    [1e-2, 1],
  ]);
});
