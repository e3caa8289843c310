// The table and the chart of interventions: every number is there, published ones stand beside, odd ones break nothing.

import { expect, test } from "vitest";
import { given } from "../../src/basics/given.ts";
import { drawInterventions } from "../../src/report/interventions-chart.ts";
import { interventionsText } from "../../src/report/interventions-text.ts";
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

    maps become           identity      mean
    ────────────────────────────────────────
    early 0-1       +0.3000 +35.0%  0     0%
    late 2-3        +0.0100~+1.01%
    3 feed-forward    -2e-5    ≈0%

    stream left out             all 0-3
    ───────────────────────────────────
    stream 1         Infinity Infinity%

    Sinkhorn-Knopp         all 0-3
    ──────────────────────────────
    1 iteration     +0.2500 +28.4%

    ~ within two standard errors of no change, judged by the single batches

    For reference, DeepSeek-V4-Flash on C4 (arXiv 2609.05309), its own early and late layers, perplexity:
      early → identity +41% (here +35.0%), late → identity +1.9% (here +1.01%), early → mean +0.2% (here 0%)"
  `);
});

test("the chart of a report: a bar a row, in numbers, and the published mark where it fits", () => {
  const svg = drawInterventions(report, "a < b & c");
  expect(svg.match(/<title>/g)).toHaveLength(report.rows.length);
  expect(svg).toContain("a &lt; b &amp; c");
  for (const text of ["+0.3000", "-2e-5", "Infinity", "stream 1", "3 feed-forward"]) expect(svg).toContain(text);
  expect(svg.match(/undecided"/g)).toHaveLength(1);
  // 41 % are 0.344 nats, beside 0.3; 0.2 % are far beyond a bar of length zero. One more explains the mark.
  expect(svg.match(/class="mark"/g)).toHaveLength(2 + 1);
  expect(svg).not.toMatch(/NaN|undefined|="-?Infinity/);
  expect(svg.match(/<(g|text|svg|title|style)\b/g)!.length).toBe(svg.match(/<\/(g|text|svg|title|style)>/g)!.length);
});

test("without anything published there is nothing to explain", () => {
  const rows = [row("uniform", "all", 1)];
  expect(interventionsText({ ...report, rows })).not.toContain("DeepSeek");
  expect(drawInterventions({ ...report, rows }, "x")).not.toContain('class="mark"');
});
