// What two runs say differs by nothing where they say the same, and intervals of pairs are those of the jackknife.

import { expect, test } from "vitest";
import { estimate, jackknife } from "../../src/basics/interval.ts";
import { mean } from "../../src/basics/numbers.ts";
import { agreement, divergence } from "../../src/studies/variability.ts";

const said = (p: number) => ({ logs: [Math.log(p), Math.log(1 - p)], vocabulary: 2 });

test("agreement counts equal choices; divergence is that of both directions, a row", () => {
  expect(agreement({ chosen: [1, 2, 3, 4] }, { chosen: [1, 2, 0, 4] })).toBe(0.75);
  expect(divergence(said(0.3), said(0.3))).toBe(0);
  const kl = (p: number, q: number): number => p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q));
  expect(divergence(said(0.3), said(0.8))).toBeCloseTo((kl(0.3, 0.8) + kl(0.8, 0.3)) / 2, 12);
  const two = { logs: [...said(0.3).logs, ...said(0.5).logs], vocabulary: 2 };
  const others = { logs: [...said(0.8).logs, ...said(0.5).logs] };
  expect(divergence(two, others)).toBeCloseTo(divergence(said(0.3), said(0.8)) / 2, 12);
});

test("the jackknife of a mean is Student's interval, and of too few values there is none", () => {
  const values = [1, 4, 2, 8, 5];
  const found = jackknife(values, mean, 1);
  expect(found.mean).toBeCloseTo(estimate(values).mean, 12);
  expect(found.half).toBeCloseTo(estimate(values).half!, 12);
  expect(jackknife([3, 4], mean, 2)).toEqual({ mean: 3.5 });
});
