// The search over sublayers goes the way that the losses say, asks for what it lacks, and ends.

import { expect, test } from "vitest";
import { modelSchema } from "../../src/model/config.ts";
import type { RunData } from "../../src/runs/run-data.ts";
import type { Arm } from "../../src/studies/arms.ts";
import { layers } from "../../src/studies/layers.ts";
import { type Direction, mhcIn, walk } from "../../src/studies/layers-search.ts";
import type { Experiment, StudiedRun, StudyRuns } from "../../src/studies/study.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { studied } from "./studied.ts";

const shape = { vocabulary: 300, context: 16, width: 16, heads: 2, kvHeads: 2, hidden: 32 };

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
  // Of seeds 1 and 2 the second, whose losses are larger throughout, diverged: its mean would look better.
  const partly = [studied(mhcIn([3], L), 1, lossOf([3]) + 1), studied(mhcIn([3], L), 2, undefined)];
  const lucky = new Map([...arms, armOf(mhcIn([3], L), partly)]);
  expect(walk(lucky, "adding", L, 1).rounds[0]!.candidates.map(({ sublayer }) => sublayer)).toEqual([1, 2, 0, 3]);
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
  // Two layers, and a residual model that is as bad as mHC in no sublayer.
  const model = modelSchema.parse({ ...shape, layers: 2, connection: { kind: "residual" } });
  const config = { model } as TrainingConfig;
  const { answer, parts } = page([
    // One whose configuration cannot be read any more.
    { ...studied("residual", 1, 5), run: {} as RunData },
    ...[studied("residual", 2, 6), ...all].map((one) => ({ ...one, run: { config } as RunData })),
  ] as StudiedRun<never>[]);
  for (const part of [
    "in all sublayers +0.6600 ± 0.0000",
    "in the first half +0.4000",
    "in the second half +0.2500",
    "in attention +0.3000",
    "in feed-forward +0.3500",
    "the first half buys more than the second by +0.1500",
    "adds first 0 feed-forward, 1 attention, and removes first 1 feed-forward, 0 attention",
    "what the removals leave, `mhc:at=1.attention+0.feedForward`, has +0.1500 ± 0.0000 bits per byte beside mHC in all",
  ])
    expect(answer).toContain(part);
  const adding = parts.find(({ title }) => title.startsWith("Adding"))!.table!;
  expect(adding.map((row) => [row[1], row[2], row[4], row[7]])).toEqual([
    ["added", "of", "buys", "last choice"],
    ["0 feed-forward", "4", "+0.3000 ± 0.0000", "1 feed-forward"],
    ["1 attention", "3", "+0.2100 ± 0.0000", "1 feed-forward"],
  ]);
});
