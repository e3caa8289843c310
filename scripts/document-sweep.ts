// Put a sweep's table and chart into docs/sweeps.md: between the marks of the sweep's name, and docs/sweeps/<name>.svg.
// Run: node scripts/document-sweep.ts runs/lr-depth-small [PAGE.md]

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { drawSweep } from "../src/report/sweep-chart.ts";
import { sweepRows } from "../src/report/sweep-table.ts";
import { readSweepPlan, type SweepSummary, summariseSweep } from "../src/runs/sweep/folder.ts";

/** What stands in the page: the chart, the table, and how and where it was measured. */
export function sweepBlock({ name, points, ended, definitions, groups }: SweepSummary, seconds: number): string {
  const [head, ...rows] = sweepRows({ groups }) as [string[], ...string[][]];
  const table = [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
  const processor = cpus()[0]?.model.trim() ?? process.arch;
  const date = new Date().toISOString().slice(0, 10);
  const missing = ended < points ? ` ${points - ended} of ${points} runs are missing.` : "";
  return [
    `![Validation loss against learning rate, a panel for each depth, a line for each connection](sweeps/${name}.svg)`,
    table,
    `\`birkhoff sweep examples/sweeps/${name}.json\`: ${ended} runs, ${(seconds / 3600).toFixed(2)} hours of training in all, on ${cpus().length} cores (${processor}), Node ${process.versions.node}, ${date}.${missing} Tolerated rates are those within ${definitions.toleranceBits} bits per byte of the best.`,
  ].join("\n\n");
}

/** The page with what stands between `<!-- name -->` and the next `<!-- end -->` replaced. */
export function withSweep(page: string, name: string, block: string): string {
  const [before, rest] = page.split(`<!-- ${name} -->\n`);
  const end = rest?.indexOf("<!-- end -->") ?? -1;
  if (rest === undefined || end < 0) throw new Error(`The page has no block <!-- ${name} --> ... <!-- end -->.`);
  return `${before}<!-- ${name} -->\n\n${block}\n\n${rest.slice(end)}`;
}

if (import.meta.main) {
  const [folder, given] = process.argv.slice(2);
  if (!folder) throw new Error("usage: node scripts/document-sweep.ts SWEEP_FOLDER [PAGE.md]");
  const page = given ?? fileURLToPath(new URL("../docs/sweeps.md", import.meta.url));
  const { results, summary } = summariseSweep(folder, readSweepPlan(folder).sweep);
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  const pictures = path.join(path.dirname(page), "sweeps");
  mkdirSync(pictures, { recursive: true });
  writeFileSync(path.join(pictures, `${summary.name}.svg`), await drawSweep(summary));
  writeFileSync(page, withSweep(readFileSync(page, "utf8"), summary.name, sweepBlock(summary, seconds)));
}
