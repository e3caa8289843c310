// birkhoff lint: look for something wrong in the connections of a checkpoint.

import fs from "node:fs";
import path from "node:path";
import { Command, Option } from "commander";
import {
  type ConventionName,
  conventionNames,
  type MhcConventionName,
  mhcConventionNames,
} from "../connections/conventions/table.ts";
import { isFolder } from "../files/places.ts";
import type { LintCheck, Verdict } from "../study/lint-check.ts";
import { parseTrainingConfig } from "../training/config.ts";
import { given } from "../basics/given.ts";
import { runIterations } from "../interop/run-connections.ts";
import { lintFile, type LintReport } from "../study/lint-file.ts";
import { lintLoss } from "../study/lint-loss.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import { MOST_ITERATIONS } from "../basics/bounds.ts";
import { wholeNumber, type MachineOptions, runtimeOption } from "./options.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { painterOf, prose, type Style } from "../report/terminal.ts";
import { showMany } from "../basics/show.ts";
import { formatJson } from "../files/json.ts";
import { say } from "./warn.ts";

interface LintCommandOptions extends Pick<MachineOptions, "runtime"> {
  readonly convention?: ConventionName;
  readonly against?: string;
  readonly againstConvention?: ConventionName;
  readonly run?: string;
  readonly iterations?: number;
  readonly tokens: number;
  readonly json?: boolean;
}

export const lintCommand: Command = runtimeOption(new Command("lint"))
  .description(
    "Look for transposed, mis-sliced, saturated or broken connections in a checkpoint, and show the evidence.",
  )
  .argument(
    "<file>",
    "a safetensors file, a folder with all files of a checkpoint, hf:owner/name[@revision], or a run folder (its last checkpoint is checked)",
  )
  .addOption(
    new Option("--convention <name>", "its convention (default: as the file, its run or its tensor names say)").choices(
      [...conventionNames],
    ),
  )
  .option("--against <file>", "a file or run folder that should compute the same function, in any convention")
  .addOption(
    new Option(
      "--against-convention <name>",
      "convention of the file to compare with (default: as it says itself)",
    ).choices([...conventionNames]),
  )
  .option("--run <folder>", "try the weights on this run's model and text (default: the run itself)")
  .option(
    "--iterations <n>",
    "Sinkhorn-Knopp iterations (default: the run's, else 20)",
    wholeNumber(1, MOST_ITERATIONS),
  )
  .option("--tokens <n>", "random tokens to try the connections on", wholeNumber(1, 4096), 32)
  .option("--json", "print the report as one JSON object")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff lint runs/sotu-nano-1/mhc
  birkhoff lint converted.safetensors --against original.safetensors
  birkhoff lint edited.safetensors --run runs/sotu-nano-1/mhc
Exit code 1 if a check finds an error; warnings and notes leave it 0.`,
  )
  .action(async (file: string, { json, run, ...options }: LintCommandOptions) => {
    await expectChosen(options);
    const { convention, against, againstConvention, tokens } = options;
    if (againstConvention !== undefined && against === undefined)
      throw new Error("--against-convention is for the file of --against, which is not given. Give both, or neither.");
    const iterations = options.iterations ?? (run === undefined ? undefined : runIterations(run));
    const fileReport = lintFile(file, given({ convention, against, againstConvention, tokens, iterations }));
    const folder = run ?? (isFolder(file) && fs.existsSync(path.join(file, "checkpoints")) ? file : undefined);
    const tried = folder === undefined ? undefined : await tryOnText(fileReport, folder, run !== undefined, options);
    const report = tried ? { ...fileReport, checks: [...fileReport.checks, tried] } : fileReport;
    process.stdout.write(json ? `${formatJson(report)}\n` : show(report));
    if (report.checks.some(({ verdict }) => verdict === "error")) process.exitCode = 1;
  });

/** The check by the loss. If it cannot be made, that is an error only if the user asked for it. */
async function tryOnText(
  report: LintReport,
  folder: string,
  asked: boolean,
  options: Pick<MachineOptions, "runtime">,
): Promise<LintCheck | undefined> {
  const [convention, ...others] = new Set(Object.values(report.conventions));
  const name = mhcConventionNames.find((each): each is MhcConventionName => each === convention);
  const damaged = report.checks.some((check) => ["shapes", "finite"].includes(check.name) && check.verdict === "error");
  const why =
    others.length > 0
      ? "its connections are in several conventions"
      : name === undefined
        ? `a run has no model in the convention ${convention ?? "of no connection"}`
        : damaged
          ? "its tensors are damaged (see the checks)"
          : undefined;
  if (name === undefined || why !== undefined) return untried(why!, asked);
  const config = parseTrainingConfig(openRunFolder(folder).config, path.join(folder, "config.json"));
  const runtime = await openChosen(options);
  try {
    const tried = await lintLoss(runtime, report.file, config, name);
    if (tried) return tried;
    return untried(`${folder} has no prepared text, or its model does not mix streams by Sinkhorn-Knopp`, asked);
  } catch (error) {
    if (asked) throw error;
    say(`the weights were not tried on text: ${(error as Error).message}`);
    return undefined;
  } finally {
    runtime.close();
  }
}

/** If --run asked for the check, say why it was not made. */
function untried(why: string, asked: boolean): LintCheck | undefined {
  const measured = `the weights were not tried on text: ${why}`;
  return asked
    ? { name: "orientation by the loss", verdict: "undecided", measured, expected: "a higher loss", where: [] }
    : undefined;
}

const marks: Readonly<Record<Verdict, readonly [Style, string]>> = {
  good: ["green", "✓"],
  note: ["cyan", "i"],
  undecided: ["dim", "?"],
  warning: ["yellow", "!"],
  error: ["red", "✗"],
};

function show({ file, conventions, checks, skipped }: LintReport): string {
  const names = [...new Set(Object.values(conventions))].join(", ");
  const lines = [
    prose(
      `${file}: ${showMany(Object.keys(conventions).length, "connection")}${names ? `, ${names}` : ""}`,
      process.stdout,
    ),
    ...checks.flatMap(showCheck),
  ];
  for (const reason of skipped.slice(0, 3)) lines.push(prose(`  not checked: ${reason}`, process.stdout));
  if (skipped.length > 3) lines.push(`  not checked: ${skipped.length - 3} more`);
  const count = (verdict: Verdict): number => checks.filter((check) => check.verdict === verdict).length;
  lines.push(`${showMany(count("error"), "error")}, ${showMany(count("warning"), "warning")}.`);
  return `${lines.join("\n")}\n`;
}

function showCheck({ name, verdict, measured, expected, remedy }: LintCheck): string[] {
  const paint = painterOf(process.stdout);
  const indented = (text: string): string => prose(`    ${text}`, process.stdout);
  // The mark is coloured after the line is broken: its colour takes no room.
  const lines = [`${paint(...marks[verdict])}${prose(`  ${name}: ${measured}`, process.stdout).slice(1)}`];
  if (verdict === "error" || verdict === "warning") lines.push(indented(`expected: ${expected}`));
  if (remedy !== undefined) lines.push(paint("dim", indented(remedy)));
  return lines;
}
