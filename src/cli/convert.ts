// birkhoff convert: rewrite a checkpoint's connections in another convention, or give a residual run streams.

import { existsSync } from "node:fs";
import { Command, Option } from "commander";
import { type ConversionDifference } from "../connections/conventions/convert.ts";
import { drawTable } from "../basics/table.ts";
import { given } from "../basics/given.ts";
import { showBytes, showMany } from "../basics/show.ts";
import { type ConventionName, conventionNames } from "../connections/conventions/table.ts";
import { connectionKind } from "../connections/table.ts";
import { type Naming, namings } from "../interop/connection-names.ts";
import { convertFile, type ConvertReport } from "../interop/convert.ts";
import { isResidualRun } from "../interop/run-connections.ts";
import { upcycledConnections } from "../interop/upcycle.ts";
import { prose, widthOf } from "../report/terminal.ts";
import { isRunFolder } from "../runs/find-runs.ts";
import { MOST_ITERATIONS, MOST_STREAMS } from "../basics/bounds.ts";
import { expectUnused, positiveNumber, wholeNumber, machineOptions } from "./options.ts";
import { say } from "./warn.ts";
import { type UpcycleCommandOptions, upcycleRun } from "./upcycle.ts";

interface ConvertCommandOptions {
  readonly from?: ConventionName;
  readonly to: ConventionName;
  readonly names?: Naming;
  readonly iterations?: number;
  readonly tolerance?: number;
  readonly end?: "mean";
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

/** Options that only one of the two forms of the command takes. */
const converting = ["names", "iterations", "tolerance", "end"];
const upcycling = ["streams", "steps", "threads", "revectorise"];
const upcycledKinds = Object.keys(upcycledConnections);

export const convertCommand: Command = machineOptions(new Command("convert"))
  .description(
    "Rewrite the connections of a checkpoint in another convention; all other tensors stay as they are. " +
      "Or turn a trained residual run into a run with streams that computes the same and can be trained further.",
  )
  .argument(
    "<in>",
    "a safetensors file, a folder with all files of a checkpoint, hf:owner/name[@revision], or a run folder (its last checkpoint)",
  )
  .argument("<out>", "the file or folder to write, or the folder of the new run")
  .addOption(
    new Option(
      "--from <convention>",
      "the convention of the file, or residual for a run without streams (default: as the run or the file says)",
    ).choices([...conventionNames, "residual"]),
  )
  .addOption(
    olderKinds(
      new Option("--to <convention>", "the convention to write; for a run, the connection to give it").choices([
        ...conventionNames,
        ...upcycledKinds,
      ]),
    ).makeOptionMandatory(),
  )
  .addOption(
    new Option(
      "--names <whose>",
      "how tensors are named (default: as the programs of the new convention do; paper: birkhoff)",
    ).choices([...namings]),
  )
  .option(
    "--iterations <n>",
    "Sinkhorn-Knopp iterations of the model (default: the run's, else 20)",
    wholeNumber(1, MOST_ITERATIONS),
  )
  .option(
    "--tolerance <e>",
    "write nothing if a coefficient differs by more (default: 1e-3 if the conventions meet only in the limit of many iterations)",
    positiveNumber,
  )
  .addOption(
    new Option(
      "--end <end>",
      "how the streams end, where a file without a learned end may be a part of a model",
    ).choices(["mean"]),
  )
  .option("--streams <n>", "streams of the new run", wholeNumber(1, MOST_STREAMS), 4)
  .option(
    "--steps <n>",
    "step at which the new run ends (default: the old run's, or as many more if it has ended)",
    wholeNumber(1),
  )
  .option("--overwrite", "replace an existing file, checkpoint or run")
  .option("--json", "print the report as one JSON object")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff convert model.safetensors --from deepseek-v4 --to paper ours.safetensors
  birkhoff convert runs/my theirs.safetensors --to deepseek-v4
  birkhoff convert runs/plain runs/streams --to mhc
  birkhoff convert hf:deepseek-ai/DeepSeek-V4-Flash ours --from deepseek-v4 --to paper
docs/conventions.md describes the conventions and says which can be converted into which.`,
  )
  .action(async (input: string, output: string, options: ConvertCommandOptions | UpcycleCommandOptions, command) => {
    const { to } = options;
    const from = options.from ?? (isRunFolder(input) && isResidualRun(input) ? "residual" : undefined);
    if ((from === "residual") !== upcycledKinds.includes(to)) {
      const said =
        options.from === undefined
          ? `${input} is ${from === undefined ? "no" : "a"} residual run, which`
          : `--from ${options.from}`;
      throw new Error(
        `convert: ${said} does not go with --to ${to}. A residual run needs --to ${upcycledKinds.join(" or ")}, anything else a convention: ${conventionNames.join(", ")}.`,
      );
    }
    if (from === "residual") {
      expectUnused(command, converting, "with a residual run: it is for files");
      return upcycleRun(input, output, { ...(options as UpcycleCommandOptions), from });
    }
    expectUnused(command, upcycling, "with a file: it is for a residual run");
    const { json, overwrite, names, iterations, tolerance, end, to: convention } = options as ConvertCommandOptions;
    if (existsSync(output) && !overwrite)
      throw new Error(`${output} already exists: replace what it holds (--overwrite) or give another name.`);
    const report = convertFile(input, output, {
      to: convention,
      ...given({ from, names, iterations, tolerance, end, overwrite }),
      onProgress: sayWritten(),
    });
    process.stdout.write(json ? `${JSON.stringify({ input, output, ...report })}\n` : show(report, output));
  });

/** What is said of a long conversion, now and then. */
const EVERY_MS = 10_000;

function sayWritten(): (written: number, bytes: number) => void {
  let last = Date.now();
  return (written, bytes) => {
    if (Date.now() - last < EVERY_MS) return;
    last = Date.now();
    say(`convert: ${showBytes(written)} of ${showBytes(bytes)} written`);
  };
}

/** Lets a choice also be given by the name that a kind of connection had in older versions. */
function olderKinds(option: Option): Option {
  const choose = option.parseArg;
  return option.argParser((value: string, previous: string) => {
    const name = connectionKind(value) ?? value;
    return choose ? choose(name, previous) : name;
  });
}

function show({ from, to, notes, converted, passed, bytes, difference }: ConvertReport, output: string): string {
  const row = (name: string, by: ConversionDifference): string[] => [
    name,
    by.coefficients.toExponential(1),
    by.output.toExponential(1),
  ];
  const rows = converted.map((each) => row(each.name, each.difference));
  const shown =
    rows.length > 20 ? [...rows.slice(0, 8), [`… ${rows.length - 16} more`, "", ""], ...rows.slice(-8)] : rows;
  const titles = ["largest differences", "of a coefficient", "of what is read or written"];
  const said = [
    `${from} to ${to}: ${showMany(converted.length, "connection")} converted, ${showMany(passed, "other tensor")} (${showBytes(bytes)}) left unchanged.`,
    ...notes,
    "Measured in float64 on random streams:",
  ];
  return [
    ...said.map((sentence) => prose(sentence, process.stdout)),
    drawTable([titles, ...shown, row("all", difference)], { width: widthOf(process.stdout) }),
    `Written: ${output}\n`,
  ].join("\n");
}
