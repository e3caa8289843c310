// birkhoff sweep: train one model with every combination of some settings, on all cores, and summarise the runs.

import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Command, Option } from "commander";
import { shellWord, showMany } from "../basics/show.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { readDataFile } from "../files/data-file.ts";
import { reason } from "../files/errors.ts";
import { MissingPackages } from "../files/packages.ts";
import { drawSweep } from "../report/sweep-chart.ts";
import { sweepTable } from "../report/sweep-table.ts";
import { prose, widthOf } from "../report/terminal.ts";
import { TOLERANCE_BITS } from "../runs/sweep/analysis.ts";
import { parseSweep, type SweepDefinition } from "../runs/sweep/definition.ts";
import { isSweepFolder, readSweepPlan, summariseSweep, type SweepSummary } from "../runs/sweep/folder.ts";
import { acceptConfig } from "./config-file.ts";
import { tellJson } from "./events.ts";
import { memoryOption, positiveNumber, runtimeOption, wholeNumber } from "./options.ts";
import { SWEEP_CHART, type SweepTraining, trainSweep } from "./sweep-train.ts";
import { warn } from "./warn.ts";

export interface SweepOptions extends SweepTraining {
  readonly out?: string;
  readonly report?: boolean;
  readonly tolerance: number;
}

export const sweepCommand: Command = acceptConfig(
  memoryOption(runtimeOption(new Command("sweep")), "all runs together"),
)
  .description("Train every combination of some settings, and measure the learning rate's optimum and tolerance.")
  .argument(
    "<file>",
    "the sweep (.json, .yaml, or a module that exports `sweep`), or the folder of a sweep to continue",
  )
  .option("--out <folder>", "folder of the run folders (default: runs/<name of the sweep>)")
  .option("--workers <n>", "most runs at a time, if memory allows (default: cores / threads)", wholeNumber(1, 1024))
  .addOption(
    new Option("--point <n>", "train only the n-th run, from 1, as a task of an array does: others may train at once")
      .argParser(wholeNumber(1, 1_000_000))
      .conflicts(["report", "workers"]),
  )
  .option("--threads <n>", "threads of each run", wholeNumber(1, 256), 1)
  .option("--no-revectorise", "do not ask V8 for 256-bit vectors")
  .option("--cache <folder>", "where tokenizers and tokens are kept (default: ~/.cache/birkhoff)")
  .option("--report", "train nothing; analyse the runs that have ended")
  .option(
    "--tolerance <bits>",
    "bits per byte above the optimum that still count as near it",
    positiveNumber,
    TOLERANCE_BITS,
  )
  .option("--json", "print what happens, the result of each run, then the summary, as JSON lines (docs/terminal.md)")
  .addHelpText(
    "after",
    `
A sweep has a name, a base (options of \`birkhoff train\` in camel case, and fields of the configuration) and axes:

  {
    "name": "rates",
    "base": { "steps": 200, "vocabulary": 512, "model.width": 64 },
    "axes": {
      "connection": ["residual", "hc", "mhc:streams=2"],
      "learningRate": [1e-3, 3e-3, 1e-2],
      "seed": [1, 2]
    }
  }

It may also have where and exclude, lists of conditions such as { "connection": "hc", "seed": [1, 2] }, and
keepCheckpoints: false. It can be stopped or killed at any time; the same command continues it. Values can be
added to its axes later.

Examples:
  birkhoff sweep examples/sweeps/lr-depth-small.json
  birkhoff sweep rates.json --out runs/rates --workers 2
  birkhoff sweep runs/rates                          continue, or look at the results
  birkhoff sweep rates.json --point 3                one run, for an array of jobs (birkhoff launch --slurm)
  birkhoff sweep runs/rates --report --json`,
  )
  .action(async (file: string, options: SweepOptions) => {
    const { sweep, folder } = await openSweep(file, options);
    const stopped = options.report ? false : await trainSweep(sweep, folder, options);
    if (options.point === undefined) await report(sweep, folder, stopped, options);
    else if (!stopped && !options.json)
      process.stdout.write(
        `The results of all runs, when they are done: birkhoff sweep ${shellWord(folder)} --report\n`,
      );
  });

/** The sweep that a file or a folder holds, and the folder of its runs. */
export async function openSweep(
  file: string,
  { out, report }: Pick<SweepOptions, "out" | "report">,
): Promise<{ sweep: SweepDefinition; folder: string }> {
  if (existsSync(file) && statSync(file).isDirectory()) {
    if (!isSweepFolder(file)) throw new Error(`${file} holds no sweep (no sweep.json); give the sweep's file first.`);
    if (out !== undefined)
      throw new Error(
        `The runs of the sweep folder ${file} stay in it. Leave out --out, which is for a sweep given as a file.`,
      );
    return { sweep: readSweepPlan(file).sweep, folder: file };
  }
  const sweep = parseSweep(await readSweepFile(file), file);
  const folder = out ?? path.join("runs", sweep.name.replaceAll(/[^\w.=+-]/g, "_"));
  if (report && !isSweepFolder(folder))
    throw new Error(`${folder} holds no sweep yet; run it first, without --report.`);
  return { sweep, folder };
}

const TYPED = [".ts", ".mts"];
const MODULES = [".js", ".mjs", ...TYPED];

async function readSweepFile(file: string): Promise<unknown> {
  const extension = path.extname(file);
  if (!MODULES.includes(extension)) {
    try {
      return readDataFile(file, "the sweep");
    } catch (error) {
      throw new Error(
        `${reason(error)}. It must be JSON, YAML, or a module (${MODULES.join(", ")}) that exports \`sweep\`.`,
        { cause: error },
      );
    }
  }
  if (TYPED.includes(extension) && !process.features.typescript)
    throw new Error(
      `Node ${process.versions.node} does not read TypeScript: use Node 22.18 or later, or give ${file} as .json, .js or .mjs.`,
    );
  let module: { readonly sweep?: unknown };
  try {
    module = (await import(pathToFileURL(path.resolve(file)).href)) as typeof module;
  } catch (error) {
    throw new Error(`Cannot load the sweep ${file}: ${reason(error)}`, { cause: error });
  }
  if (module.sweep === undefined)
    throw new Error(`${file} exports no \`sweep\`, such as: export const sweep = { name: ... };`);
  return module.sweep;
}

async function report(
  sweep: SweepDefinition,
  folder: string,
  stopped: boolean,
  { tolerance, json }: SweepOptions,
): Promise<void> {
  const { results, summary } = summariseSweep(folder, sweep, tolerance);
  const goOn = `birkhoff sweep ${shellWord(folder)}`;
  const drawn = results.length > 0 && (await writeChart(summary, folder));
  if (json) {
    for (const result of results) tellJson("run", result);
    tellJson("result", summary);
    if (stopped) process.stderr.write(`Continue: ${goOn}\n`);
    return;
  }
  if (results.length > 0)
    process.stdout.write(`\n${prose(sweepTable(summary, widthOf(process.stdout)), process.stdout)}\n`);
  process.stdout.write(
    `\n${summary.ended} of ${showMany(summary.points, "run")} ended; ${drawn ? "chart and " : ""}results in ${folder}\n`,
  );
  if (stopped) process.stdout.write(`Continue: ${goOn}\n`);
}

/** Returns whether the chart was drawn. The results stand without it, so what draws it need not be installed. */
async function writeChart(summary: SweepSummary, folder: string): Promise<boolean> {
  try {
    writeFileAtomically(path.join(folder, SWEEP_CHART), await drawSweep(summary));
    return true;
  } catch (error) {
    if (!(error instanceof MissingPackages)) throw error;
    warn(`${error.message}. Then birkhoff sweep ${folder} --report draws the chart.`);
    return false;
  }
}
