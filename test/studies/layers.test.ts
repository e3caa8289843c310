// The search over sublayers goes the way that the losses say, asks for what it lacks, and ends.

import { expect, test } from "vitest";
import type { Arm } from "../../src/studies/arms.ts";
import { layers } from "../../src/studies/layers.ts";
import { type Direction, mhcIn, walk } from "../../src/studies/layers-search.ts";
import type { Experiment, StudiedRun, StudyRuns } from "../../src/studies/study.ts";
import { studied } from "./studied.ts";

/** Losses in which every sublayer has its worth, and 1 and 2 are worth more together. */
const worth = [0.1, 0.3, 0.2, 0.05];
const lossOf = (set: readonly number[]): number =>
  4 - set.reduce((total, one) => total + worth[one]!, 0) - (set.includes(1) && set.includes(2) ? 0.01 : 0);
const L = worth.length;
const sets = Array.from({ length: 2 ** L }, (_, bits) => [...worth.keys()].filter((one) => (bits >> one) & 1));
const armOf = (label: string, runs: readonly StudiedRun<unknown>[]): [string, Arm<unknown>] => [
  label,
  { label, values: { connection: label }, runs },
];
const arms = new Map(
  sets.map((set) =>
    armOf(
      mhcIn(set, L),
      [1, 2].map((seed) => studied(mhcIn(set, L), seed, lossOf(set) + seed)),
    ),
  ),
);

test("sets are named as the command line names them", () => {
  expect([[], [0, 1], [1], [0, 1, 2, 3]].map((set) => mhcIn(set, L))).toEqual([
    "mhc:at=none",
    "mhc:at=0",
    "mhc:at=0.feedForward",
    "mhc",
  ]);
});

test.each<[Direction, number[]]>([
  ["adding", [1, 2, 0, 3]],
  ["removing", [3, 0, 2, 1]],
])("%s goes by the losses", (direction, order) => {
  const { rounds, lacking } = walk(arms, direction, L, 9);
  expect(lacking).toEqual([]);
  expect(rounds.map(({ candidates }) => candidates[0]!.sublayer)).toEqual(order);
  expect(rounds.map(({ candidates }) => candidates.length)).toEqual([4, 3, 2, 1]);
  expect(rounds[0]!.before.label).toBe(direction === "adding" ? "mhc:at=none" : "mhc");
  expect(walk(arms, direction, L, 2).rounds).toHaveLength(2);
});

test("what is lacking is asked for, round by round, and a set that diverged is not chosen", () => {
  const known = new Map([...arms].filter(([label]) => ["mhc", "mhc:at=none"].includes(label)));
  expect(walk(known, "adding", L, 2)).toEqual({
    rounds: [],
    lacking: [0, 1, 2, 3].map((one) => mhcIn([one], L)),
  });
  const diverged = new Map([...arms, armOf(mhcIn([1], L), [studied(mhcIn([1], L), 1, undefined)])]);
  expect(walk(diverged, "adding", L, 1).rounds[0]!.candidates.map(({ sublayer }) => sublayer)).toEqual([2, 0, 3, 1]);
});

test("the study trains what its search lacks until both walks have gone through half of the sublayers", () => {
  const all = [...arms.values()].flatMap(({ runs }) => runs);
  const { sizes, next, page } = layers as Experiment;
  let runs: StudyRuns = {
    base: { ...sizes.tiny.base, "model.layers": 2 },
    axes: { connection: ["residual", "mhc", "mhc:at=none"], seed: [1, 2] },
  };
  const added: number[] = [];
  for (;;) {
    const asked = runs.axes.connection!;
    const ended = all.filter(({ result }) => asked.includes(String(result.values["connection"])));
    const more = next!(ended, runs);
    if (!more) break;
    expect(more.axes.connection!.slice(0, asked.length)).toEqual(asked);
    added.push(more.axes.connection!.length - asked.length);
    runs = more;
  }
  // Four of each walk, then three of each, two of which are on both ways.
  expect(added).toEqual([8, 4]);
  const { answer, parts } = page(all);
  expect(answer).toContain("removes first");
  expect(parts.map(({ title }) => title)).toContain("Where mHC is");
});
