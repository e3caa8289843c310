// The shared form of experiments: arms over seeds, differences seed by seed, pages and their summary; and every experiment
// of the table describes runs that exist.

import { expect, test } from "vitest";
import { parseSweep, sweepPoints } from "../../src/runs/sweep/definition.ts";
import { armsOf, bitsPerByte, difference, divergedIn, excludesZero, over } from "../../src/studies/arms.ts";
import { writeStudyPage, writeStudySummary } from "../../src/studies/page.ts";
import { type Experiment, sizeNames, type StudiedRun, type Study } from "../../src/studies/study.ts";
import { studies, studyNames } from "../../src/studies/table.ts";
import { estimatesFigure } from "../../src/report/figures/estimates.ts";
import { renderSvg } from "../../src/report/render.ts";
import { studied } from "./studied.ts";

const runs = [
  studied("residual", 1, 2),
  studied("residual", 2, 3),
  studied("residual", 3, 4),
  studied("mhc", 3, 3.5),
  studied("mhc", 1, 1.5),
  studied("hc", 1, undefined),
];

test("arms are runs that differ in the seed; a difference is taken seed by seed", () => {
  const [residual, mhc, hc] = armsOf(runs, ({ connection }) => String(connection));
  expect([residual!.label, mhc!.label, hc!.label]).toEqual(["residual", "mhc", "hc"]);
  expect(over(residual!, bitsPerByte)!.mean).toBe(3);
  // Standard deviation 1, three values: 4.303 / √3.
  expect(over(residual!, bitsPerByte)!.half).toBeCloseTo(2.484, 3);
  // Both seeds that are in both arms differ by half a bit; the spread over seeds does not count.
  expect(difference(mhc!, residual!, bitsPerByte)).toEqual({ mean: -0.5, half: 0 });
  expect(excludesZero(difference(mhc!, residual!, bitsPerByte))).toBe(true);
  expect(difference(hc!, residual!, bitsPerByte)).toBeUndefined();
  expect([divergedIn(hc!), divergedIn(mhc!)]).toEqual([1, 0]);
});

test("a page says question, answer, tables, figures, how it was made and what it does not show", async () => {
  const figure = estimatesFigure({
    name: "loss",
    title: "Loss",
    caption: "Means.",
    axis: "bits",
    differences: true,
    points: [
      { line: "mhc", found: { mean: -0.5, half: 0.1 } },
      { line: "hc", found: undefined },
    ],
  })!;
  const { text, figures } = writeStudyPage(
    { question: "Is it so?" },
    {
      answer: "It is, by 0.5.",
      parts: [
        {
          title: "Loss",
          text: ["Of all."],
          table: [
            ["a", "b"],
            ["1|2", "3"],
          ],
          figure,
        },
      ],
      documents: ["A paper says 0.4, which agrees."],
      notShown: ["Anything else."],
    },
    runs,
    {
      name: "example",
      size: "tiny",
      command: "birkhoff study example --tiny",
      runs: { base: { steps: 9 }, axes: { connection: ["residual", "mhc", "hc"], seed: [1, 2, 3] } },
      machine: "1 core",
      missing: 3,
    },
  );
  for (const part of [
    "# Example\n",
    "**Question.** Is it so?",
    "settles nothing.) It is, by 0.5.",
    "| 1\\|2 | 3 |",
    "![Loss](example-loss.svg)",
    "birkhoff study example --tiny",
    "6 runs, seeds 1, 2, 3, 3 minutes of training",
    "3 runs of the study had not ended",
    "## Beside the documents\n\n- A paper says 0.4, which agrees.\n\n## What it does not show\n\n- Anything else.",
  ])
    expect(text).toContain(part);
  expect(figures.map(({ file }) => file)).toEqual(["example-loss.svg"]);
  expect(await renderSvg(figure.spec)).toContain("mhc");
  const summary = writeStudySummary({ "example.md": text, "other.md": "# Other\n" });
  expect(summary).toContain("- [Example](example.md): Is it so? (At the tiny size");
  expect(summary).not.toContain("Other");
});

test("the best optimizer is said to be beside AdamW only where AdamW has a loss", () => {
  const of = (optimizer: string, bits: number | undefined): StudiedRun<unknown> => {
    const { result, run } = studied("mhc", 1, bits);
    const values = { optimizer, connection: "mhc", learningRate: 1e-3, seed: 1 };
    return { run, result: { ...result, name: optimizer, values, group: { optimizer, connection: "mhc" } } };
  };
  const answer = (adamw: number | undefined): string => {
    const { page } = studies.optimizers as Experiment;
    return page([of("adamw", adamw), of("muon", 2)]).answer;
  };
  expect(answer(2.5)).toContain("−0.5000 beside AdamW");
  expect(answer(undefined)).toContain("mhc is best with muon at");
  expect(answer(undefined)).not.toContain("beside AdamW");
});

test("whether mHC replaces clipping is said by who loses without it", () => {
  const answer = (losses: Readonly<Record<string, readonly number[]>>): string => {
    const { page } = studies.clipping as Experiment;
    const own = Object.entries(losses).flatMap(([connection, [first = 0, second = 0]]) =>
      ([1, "none"] as const).flatMap((clip) =>
        [1, 2].map((seed) => {
          const { result, run } = studied(connection, seed, clip === 1 ? 2 : 2 + (seed === 1 ? first : second));
          const values = { connection, "optimizer.clip": clip, "model.layers": 2, warmup: 0, precision: "float32" };
          return { run, result: { ...result, values: { ...values, learningRate: 1e-2, seed } } };
        }),
      ),
    );
    return page(own).answer;
  };
  expect(answer({ residual: [0.1, 0.1], mhc: [0, 0] })).toMatch(/^At this size it does: `residual` loses without/);
  expect(answer({ residual: [0.1, 0.1], mhc: [0.2, 0.2] })).toMatch(/^No: mHC loses without clipping\./);
  // Two seeds that differ by more than they lose say nothing with certainty.
  expect(answer({ residual: [0.1, -0.05], mhc: [0, 0] })).toMatch(/^There is nothing to replace/);
});

const experiments = studyNames.flatMap((name) => {
  const study: Study = studies[name];
  return study.kind === "experiment" ? [[name, study] as const] : [];
});

test.each(experiments)(
  "the experiment %s has runs at every size, three seeds or more at the full one",
  (name, { sizes, minutes }) => {
    // Two cores do the small size in 20 minutes.
    expect(minutes).toBeLessThanOrEqual(20);
    for (const size of sizeNames) {
      const points = sweepPoints(parseSweep({ name: "study", ...sizes[size], keepCheckpoints: true }, name));
      expect(points.length).toBeGreaterThan(1);
    }
    expect(sizes.full.axes.seed!.length).toBeGreaterThanOrEqual(3);
  },
);
