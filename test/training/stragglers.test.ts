// The rank that keeps the others waiting is named, once, and not after a single slow step.

import { expect, test } from "vitest";
import { createStragglerTeller, paceOfRanks, type RankNumbers } from "../../src/training/stragglers.ts";

const steps = (many: number, ...speeds: number[]): RankNumbers[] =>
  Array.from({ length: many }, () => ({
    rankSpeed: speeds,
    rankWaiting: speeds.map((speed) => speed / 1000),
    rankSent: speeds.map(() => 2),
  }));

test("the medians of the last steps say who straggles", () => {
  const paces = paceOfRanks([...steps(1, 9, 9, 9, 9), ...steps(20, 100, 98, 40, 102)]);
  expect(paces.map(({ speed }) => speed)).toEqual([100, 98, 40, 102]);
  expect(paces.map(({ straggles }) => straggles)).toEqual([false, false, true, false]);
  expect(paces[2]).toEqual({ speed: 40, waiting: 0.04, sent: 2, straggles: true });
  expect(paceOfRanks([...steps(19, 100, 100), ...steps(1, 100, 1)]).some(({ straggles }) => straggles)).toBe(false);
});

test("steps of another number of processes do not count, and one process has none", () => {
  expect(paceOfRanks([...steps(20, 1, 100, 100), ...steps(2, 50, 50)]).map(({ speed }) => speed)).toEqual([50, 50]);
  expect(paceOfRanks([...steps(3, 1, 2), {}])).toEqual([]);
  expect(paceOfRanks([])).toEqual([]);
});

test("a straggler is told of once, and again when it has recovered between", () => {
  const said: string[] = [];
  const tell = createStragglerTeller((message) => said.push(message));
  const all: RankNumbers[] = [];
  const go = (...speeds: number[]): void => {
    for (const step of steps(20, ...speeds)) {
      all.push(step);
      tell(all);
    }
  };
  go(100, 100, 100);
  expect(said).toEqual([]);
  go(100, 30, 100);
  expect(said).toEqual([]);
  go(100, 31, 100);
  go(100, 32, 100);
  expect(said).toEqual([
    "rank 1 keeps the others waiting: it trains 31 tokens/s of its own, the others 100. Look at what else its machine does.",
  ]);
  go(100, 99, 100);
  go(100, 30, 100);
  expect(said).toHaveLength(1);
  go(100, 30, 100);
  expect(said).toHaveLength(2);
});
