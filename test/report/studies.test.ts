// Tables and charts of studies: means and intervals by hand, differences seed by seed, and marks of what is not bounded.

import { expect, test } from "vitest";
import { estimate } from "../../src/basics/interval.ts";
import { defaultConnection } from "../../src/connections/table.ts";
import { reasoningFigures } from "../../src/report/figures/reasoning.ts";
import { robustnessFigure } from "../../src/report/figures/robustness.ts";
import { reasoningNotes, reasoningTables } from "../../src/report/reasoning-tables.ts";
import { renderSvg } from "../../src/report/render.ts";
import { robustnessNotes, robustnessTables } from "../../src/report/robustness-tables.ts";
import type { RobustnessRow } from "../../src/runs/robustness-data.ts";
import type { RunData } from "../../src/runs/run-data.ts";
import { tinyTraining } from "../training/tiny.ts";

const runOf = (kind: "residual" | "mhc", seed: number, more: Partial<RunData>): RunData => ({
  folder: `runs/${kind}-seed${seed}`,
  name: `${kind}-seed${seed}`,
  config: { ...tinyTraining(kind), seed, model: { ...tinyTraining(kind).model, connection: defaultConnection(kind) } },
  changes: [],
  versions: {},
  metrics: [],
  gains: [],
  events: [],
  checkpoints: [],
  samples: "",
  interventions: undefined,
  problems: [],
  ...more,
});

test("an interval is Student's", () => {
  // Standard deviation 2, three values: 4.303 · 2 / √3.
  expect(estimate([8, 10, 12]).mean).toBe(10);
  expect(estimate([8, 10, 12]).half).toBeCloseTo(4.9687, 3);
  expect(estimate([7])).toEqual({ mean: 7 });
});

const answers = (right: number, loss: number): Partial<RunData> => ({
  reasoning: {
    step: 9,
    rows: [
      { task: "khop", difficulty: 1, questions: 100, right: right + 10, loss },
      { task: "khop", difficulty: 2, questions: 100, right: right - 10, loss },
      { task: "dyck", difficulty: 1, questions: 50, right: 25, loss },
    ],
  },
});
const asked = [
  runOf("residual", 1, answers(38, 1)),
  runOf("residual", 2, answers(42, 2)),
  runOf("mhc", 1, answers(50, 0.5)),
  runOf("mhc", 2, answers(54, 1.5)),
  runOf("mhc", 3, {}),
];

test("exact match and loss: a row for each task, means over difficulties and seeds, differences seed by seed", () => {
  const [match, loss] = reasoningTables(asked);
  // Two values that differ by 4: 12.706 · √8 / √2.
  expect(match).toEqual([
    ["exact match, %", "residual (2 seeds)", "mHC (2 seeds)", "mHC − residual"],
    ["khop", "40.0 ± 25.4", "52.0 ± 25.4", "+12.0 ± 0.0"],
    ["dyck", "50.0 ± 0.0", "50.0 ± 0.0", "0.0 ± 0.0"],
    ["all tasks", "45.0 ± 12.7", "51.0 ± 12.7", "+6.0 ± 0.0"],
  ]);
  expect(loss![3]).toEqual(["all tasks", "1.500 ± 6.353", "1.000 ± 6.353", "−0.500 ± 0.000"]);
  expect(reasoningNotes(asked).join(" ")).toContain("Up to 100 held-out questions");
  expect(reasoningNotes(asked).join(" ")).toContain("MMLU");
  expect(reasoningTables([runOf("mhc", 1, {})])).toEqual([]);
});

test("a panel for each task, in both charts", async () => {
  const figures = reasoningFigures(asked);
  expect(figures.map(({ name }) => name)).toEqual(["reasoning-match", "reasoning-loss"]);
  for (const { spec } of figures) {
    const svg = await renderSvg(spec);
    for (const text of ["khop", "dyck", "hops", "brackets left open", "mHC (2 seeds)"]) expect(svg).toContain(text);
  }
});

const row = (name: string, kind: RobustnessRow["kind"], change: number, bounded = true): RobustnessRow => ({
  name,
  kind,
  loss: 2 + change,
  change,
  divergence: change / 2,
  flips: change / 10,
  draws: kind === "noise" ? 3 : 1,
  bounded,
});
const disturbed = (seed: number, rows: readonly RobustnessRow[], kind: "residual" | "mhc" = "mhc"): RunData =>
  runOf(kind, seed, { robustness: { step: 9, loss: 2, guessing: 3, tokens: 4096, rows } });

test("disturbances: streams and layers are taken together, and what is worse than guessing is marked", async () => {
  const runs = [
    disturbed(1, [row("noise:0.1", "noise", 0.1), row("drop:0", "drop", 0.2), row("drop:1", "drop", 0.6)]),
    disturbed(2, [row("noise:0.1", "noise", 0.3), row("drop:0", "drop", 0.2), row("drop:1", "drop", 1.4, false)]),
    disturbed(1, [row("noise:0.1", "noise", 0.5), row("skip:0", "skip", 0.5)], "residual"),
  ];
  const [change, flips] = robustnessTables(runs);
  expect(change).toEqual([
    ["change of the loss, nats a token", "mHC (2 seeds)", "residual-seed1"],
    ["weight noise of 0.1 rms", "+0.2000 ± 1.2706", "+0.5000"],
    ["a stream dropped, mean", "! +0.6000 ± 2.5412", "–"],
    ["a stream dropped, the worst", "! +1.0000 ± 5.0824", "–"],
    ["a layer skipped, mean", "–", "+0.5000"],
    ["a layer skipped, the worst", "–", "+0.5000"],
  ]);
  expect(flips![1]).toEqual(["weight noise of 0.1 rms", "2.00 ± 12.71", "5.00"]);
  const notes = robustnessNotes(runs).join(" ");
  expect(notes).toContain("4,096 validation tokens. Random disturbances are means over 3 draws.");
  expect(notes).toContain(
    "! is worse than guessing evenly among all tokens, in at least one draw: mHC (2 seeds): a stream",
  );
  expect(robustnessNotes(runs.slice(0, 1)).join(" ")).toContain("bounded for all of these models");
  const svg = await renderSvg(robustnessFigure(runs)!.spec);
  for (const text of ["a layer skipped, mean", "divergence, nats a token", "residual-seed1"])
    expect(svg).toContain(text);
  expect(robustnessFigure([])).toBeUndefined();
});
