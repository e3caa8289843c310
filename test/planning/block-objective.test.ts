// Eq. 20 of the paper.

import { expect, test } from "vitest";
import { blockObjective, blockOptimum } from "../../src/planning/block-objective.ts";

test("n = 4, L = 60, in units of C", () => {
  const table = { 1: 246, 2: 132, 4: 84, 5: 78, 6: 76, 7: 78, 8: 80, 10: 84, 20: 132, 60: 364 };
  for (const [every, units] of Object.entries(table)) expect(blockObjective(4, 60, Number(every)), every).toBe(units);
  const all = Array.from({ length: 60 }, (_, index) => blockObjective(4, 60, index + 1));
  expect(all.indexOf(Math.min(...all)) + 1).toBe(6);
});
test("its minimum lies near √(nL / (n + 2))", () => {
  const optima = [24, 36, 60, 120].map((sublayers) => Number(blockOptimum(4, sublayers).toFixed(2)));
  expect(optima).toEqual([4, 4.9, 6.32, 8.94]);
});
