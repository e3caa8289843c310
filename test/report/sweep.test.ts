// A sweep's chart and table: every group has its line and row, a divergence its cross, and hostile names stay text.

import { expect, test } from "vitest";
import { drawSweep } from "../../src/report/sweep-chart.ts";
import { sweepTable } from "../../src/report/sweep-table.ts";
import { summary } from "./sweep-summary.ts";

test("the chart has a panel a depth, a line a connection, and one cross for the one divergence", async () => {
  const svg = await drawSweep(summary);
  for (const text of ["layers 4", "layers 24", "HC", "mHC", "learning rate", "validation bits per byte"])
    expect(svg).toContain(`>${text}</text>`);
  expect(svg.match(/>×<\/text>/g)).toHaveLength(1);
  expect(svg).not.toContain("NaN");
});

test("names that look like markup are text, and a sweep without any result is drawn", async () => {
  const svg = await drawSweep({ ...summary, name: "<script>alert(1)</script>" });
  expect(svg).not.toContain("<script");
  expect(await drawSweep({ ...summary, groups: [] })).toContain("<svg");
});

test("the table says what is only a bound", () => {
  const table = sweepTable(summary);
  expect(table).toMatch(/^24 +hc +2 +0\.003 +- +2\.2000 .* 0\.003 +1 +0 +0$/m);
  expect(table).toMatch(/≥ 0\.\d\d/);
});
