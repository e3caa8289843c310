// The table and the chart of interventions: every number is there, published ones stand beside, odd ones break nothing.

import { expect, test } from "vitest";
import { given } from "../../src/basics/given.ts";
import { interventionsFigure } from "../../src/report/figures/interventions.ts";
import { interventionsText } from "../../src/report/interventions-text.ts";
import { renderSvg } from "../../src/report/render.ts";
import type { RunData } from "../../src/runs/run-data.ts";
import type { InterventionReport, InterventionRow } from "../../src/study/intervene.ts";

const row = (intervention: string, set: string, change: number, error?: number): InterventionRow => ({
  name: `${intervention}, ${set}`,
  intervention,
  set,
  sublayers: { all: [0, 1, 2, 3], early: [0, 1], late: [2, 3] }[set] ?? [Number(set)],
  loss: 4 + change,
  change,
  ...given({ error }),
});

const report: InterventionReport = {
  step: 700,
  loss: 4,
  tokens: 4096,
  meanTokens: 8192,
  rows: [
    row("identity", "early", 0.3, 0.01),
    row("identity", "late", 0.01, 0.008),
    row("identity", "3", -2e-5, 1e-6),
    row("mean", "early", 0),
    row("drop:1", "all", Infinity),
    row("iterations:1", "all", 0.25),
  ],
};

test("the table of a report", () => {
  expect(interventionsText(report)).toMatchInlineSnapshot(`
    "step 700: validation loss 4.0000 nats a token over 4,096 tokens; means of the maps over 8,192 training tokens
    change of the loss in nats a token, and of the perplexity

    maps become            identity      mean
    ─────────────────────────────────────────
    early 0-1        +0.3000 +35.0%  0     0%
    late 2-3        ~+0.0100 +1.01%
    3 feed-forward     -2e-5    ≈0%

    stream left out             all 0-3
    ───────────────────────────────────
    stream 1         Infinity Infinity%

    Sinkhorn-Knopp         all 0-3
    ──────────────────────────────
    1 iteration     +0.2500 +28.4%

    ~ within two standard errors of no change, estimated from the single batches

    For reference, DeepSeek-V4-Flash on C4 (arXiv 2609.05309), its own early and late layers, perplexity:
      early → identity +41% (here +35.0%), late → identity +1.9% (here +1.01%), early → mean +0.2% (here 0%)"
  `);
});

/** A run folder's data with this report in it. */
const runOf = (interventions: InterventionReport): RunData => ({
  folder: "runs/a",
  name: "a < b & c",
  config: undefined,
  changes: [],
  versions: {},
  metrics: [],
  gains: [],
  events: [],
  checkpoints: [],
  samples: "",
  interventions,
  problems: [],
});

const draw = async (shown: InterventionReport, most?: number) => {
  const figure = interventionsFigure([runOf(shown)], most);
  return { caption: figure!.caption, svg: await renderSvg(figure!.spec) };
};

test("the chart of a report: a bar and a number for each row that can be drawn, and the published mark where it fits", async () => {
  const { svg, caption } = await draw(report);
  expect(svg.match(/<path[^>]*fill-opacity="(1|0\.3)"/g)).toHaveLength(report.rows.length - 1);
  for (const text of ["+0.3000", "-2e-5", "identity, early", "a &lt; b &amp; c"]) expect(svg).toContain(text);
  // One bar cannot be told from none.
  expect(svg.match(/fill-opacity="0.3"/g)).toHaveLength(1);
  // 41 % are 0.344 nats, beside 0.3.
  expect(caption).toContain("DeepSeek-V4-Flash on C4");
  expect(svg).not.toMatch(/NaN|undefined|="-?Infinity/);
});

test("of more rows than fit, those on several sublayers that change most are shown, and the caption says so", async () => {
  const { svg, caption } = await draw(report, 2);
  for (const text of ["identity, early", "iterations:1, all"]) expect(svg).toContain(text);
  expect(svg).not.toContain("identity, late");
  expect(caption).toContain("too many to show");
});

test("without anything published there is nothing to explain", async () => {
  const rows = [row("uniform", "all", 1)];
  expect(interventionsText({ ...report, rows })).not.toContain("DeepSeek");
  expect((await draw({ ...report, rows })).caption).not.toContain("DeepSeek");
});
