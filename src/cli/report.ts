// birkhoff report: write one HTML file about runs that opens offline and prints; write its figures as SVG or PNG.

import path from "node:path";
import { Command } from "commander";
import { showPlain, showMany } from "../basics/show.ts";
import { inOrder } from "../report/figures/series.ts";
import { findRuns } from "../runs/find-runs.ts";
import { findings, runNumbers, scaleSentence } from "../report/findings.ts";
import { readRunData } from "../runs/run-data.ts";
import { writeReport } from "../report/write-report.ts";
import { prose } from "../report/terminal.ts";
import { wholeNumber } from "./options.ts";
import { formatJson } from "../files/json.ts";
import { warn } from "./warn.ts";

interface ReportCommandOptions {
  readonly out?: string;
  readonly title?: string;
  readonly baseline?: string;
  readonly step?: number;
  readonly paper?: boolean;
  readonly svg?: string;
  readonly png?: string;
  readonly json?: boolean;
}

export const reportCommand: Command = new Command("report")
  .description("Write one HTML file about runs: tables, figures, samples and the commands to train them again.")
  .argument("<runs...>", "run folders, or folders of run folders such as a comparison")
  .option("--out <file>", "the HTML file (default: report.html in the run, or in the folder that all runs are in)")
  .option("--title <text>", "title of the report")
  .option("--baseline <run>", "name of the run that losses are compared with (default: residual, else the first)")
  .option("--step <n>", "show gains and matrices at this step (default: the last measured one)", wholeNumber(0))
  .option("--paper", "also draw the figures in the form of the mHC paper's, with its values lightly behind")
  .option("--svg <folder>", "also write every figure as an SVG file")
  .option("--png <folder>", "also write every figure as a PNG file")
  .option("--json", "print what was written, the runs in numbers and the findings as one JSON object")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff report runs/sotu-nano-1                   a comparison: runs/sotu-nano-1/report.html
  birkhoff report runs/a runs/b --baseline a --out ab.html
  birkhoff report runs/sotu-nano-1 --paper --png figures`,
  )
  .action(async (paths: string[], options: ReportCommandOptions) => {
    const runs = inOrder(paths, findRuns(paths).map(readRunData));
    const { baseline } = options;
    if (baseline !== undefined && !runs.some(({ name }) => name === baseline))
      throw new Error(
        `--baseline ${baseline} names none of the runs; they are ${runs.map(({ name }) => name).join(", ")}.`,
      );
    for (const { name, problems } of runs) for (const problem of problems) warn(`${name}: ${problem}`);
    const out = options.out ?? defaultOut(runs.map(({ folder }) => folder));
    const written = await writeReport(runs, { ...options, out }, options);
    if (options.json) {
      process.stdout.write(
        `${formatJson({ written, runs: runNumbers(runs), findings: findings(runs), scale: scaleSentence(runs) })}\n`,
      );
      return;
    }
    const sentences = [...findings(runs).map(showPlain), scaleSentence(runs)];
    process.stdout.write(`${prose(sentences.join("\n"), process.stdout)}\n`);
    const pictures = written.length > 1 ? `, and ${showMany(written.length - 1, "picture")}` : "";
    process.stdout.write(`Report: ${out}${pictures}\n`);
  });

/** The folder of the only run, or the folder that holds all runs. */
function defaultOut(folders: readonly string[]): string {
  if (folders.length === 1) return path.join(folders[0]!, "report.html");
  const parents = new Set(folders.map((folder) => path.resolve(path.dirname(folder))));
  if (parents.size === 1) return path.join(path.dirname(folders[0]!), "report.html");
  throw new Error("The runs are in different folders: name the file, such as --out report.html.");
}
