// birkhoff train: train one model on the user's text, or continue a run.

import path from "node:path";
import { Command } from "commander";
import { given } from "../basics/given.ts";
import { showPlain } from "../basics/show.ts";
import type { PreparedFiles } from "../data/prepare.ts";
import { drawCurves, summaryTable } from "../report/summary.ts";
import { lookOf } from "../report/terminal.ts";
import type { PageBeside } from "../report/server/beside.ts";
import { hasEventFiles, recordTensorBoard } from "../interop/tensorboard.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { memoryLimits } from "../planning/here/memory-limit.ts";
import { describeResumable } from "../runs/description.ts";
import { isRunFolder } from "../runs/find-runs.ts";
import { expectNoRun, FolderTakenError } from "../runs/run-folder.ts";
import { FolderInUseError } from "../files/lock.ts";
import { openRun, type Run } from "../runs/run.ts";
import { expectMemory, type MemoryWording } from "../planning/here/training-memory.ts";
import { type ConnectionChoice, writeChoice } from "./connections.ts";
import { changedConfig, checkConfig, configFrom, expectEffect, expectResumable } from "./configuration.ts";
import { connectionOption, trainingOptions, type TrainingOptions } from "./options.ts";
import { keepPage, showPage } from "./page.ts";
import { openChosen } from "./runtime.ts";
import { prepare, prepareRun, summaryRow, textOf, trainAll } from "./session.ts";
import { sampleSize, writeSample } from "../runs/write-sample.ts";
import { printedSample } from "./text.ts";
import { formatJson } from "../files/records.ts";
import { warn } from "./warn.ts";

interface TrainOptions extends TrainingOptions {
  readonly connection: ConnectionChoice;
  readonly out?: string;
  readonly resume?: string;
  readonly overwrite?: boolean;
}

export const trainCommand: Command = trainingOptions(new Command("train"))
  .description("Train one model on a text file, a folder of text files or standard input.")
  .addOption(connectionOption)
  .option("--out <folder>", "the run folder (default: the first free of runs/<data>-<preset>-<connection>, …-2, …-3)")
  .option("--overwrite", "remove the run that the folder already holds")
  .option(
    "--resume <run>",
    "continue a run from its last checkpoint; its options come from the run, but --steps, --learning-rate, --evaluate-every, --checkpoint-every and --set change it from there on",
  )
  .addHelpText(
    "after",
    `
Examples:
  birkhoff train --data my.txt --steps 1000
  birkhoff train --data notes/ --connection hc --streams 2 --out runs/notes
  birkhoff train --data my.txt --connection mhc:residualMap=cayley
  cat *.md | birkhoff train --data - --preset micro
  birkhoff train --data my.txt --alarm gain=100:stop --alarm spike=6:rollback
  birkhoff train --resume runs/notes
  birkhoff train --resume runs/notes --steps 2000           a finished run, trained on`,
  )
  .action(async (options: TrainOptions, command: Command) => {
    if (options.resume !== undefined) expectResumable(command, ["connection", "out", "overwrite"]);
    const asked =
      options.resume === undefined ? undefined : changedConfig(readConfig(options.resume), options, command);
    const resumed = asked?.config;
    let folder = options.resume ?? options.out ?? freeFolder(options);
    // Before the text is read.
    if (options.resume === undefined && !options.overwrite) expectNoRun(folder);
    const name = path.basename(folder);
    const { data, config } = resumed
      ? {
          data: await prepareRun(resumed, options.resume!, options),
          config: resumed,
        }
      : await begin(options, command, name);
    const runtime = await openChosen(options);
    let run: Run | undefined;
    let page: PageBeside | undefined;
    try {
      const trainings = {
        configs: [config],
        sample: options.json && config.sampleEvery === undefined ? undefined : sampleSize(data.tokenizer),
      };
      const wording: MemoryWording = {
        resumed: resumed !== undefined,
        connections: (field, [value]) => `--connection ${writeChoice(options.connection, field, value)}`,
      };
      const { machine, device } = runtime;
      if (machine) expectMemory(trainings, machine, memoryLimits(device, options.memory), wording);
      const openIn = (place: string): Promise<Run> =>
        openRun(runtime, { ...config, name: resumed ? config.name : path.basename(place) }, data, place, {
          existing: options.resume ? "resume" : options.overwrite ? "overwrite" : "refuse",
          onWarning: warn,
          onNote: (message) => process.stderr.write(`${showPlain(message)}\n`),
          ...given({ changed: asked?.changed }),
        });
      const named = (options.resume ?? options.out) !== undefined || options.overwrite;
      const opened = named ? { run: await openIn(folder), folder } : await openFree(options, folder, openIn);
      ({ run, folder } = opened);
      if (options.tensorboard || (options.resume !== undefined && hasEventFiles(folder)))
        run = recordTensorBoard(run, folder);
      if (options.page !== undefined) page = await showPage([run], folder, options.page);
      const { interrupted: stopped } = await trainAll([run], undefined, page);
      const row = summaryRow(run);
      if (options.json) process.stdout.write(`${formatJson({ folder, stopped, ...row })}\n`);
      else {
        const look = lookOf(process.stdout);
        process.stdout.write(
          `\n${drawCurves([{ name: "training loss", values: run.metrics.map(({ loss }) => loss) }], look)}\n\n${summaryTable([row], look.width)}\n`,
        );
        const sample = stopped ? undefined : await writeSample(run, data.tokenizer);
        if (sample) process.stdout.write(`\n${printedSample(sample.prompt + sample.text)}\n`);
        process.stdout.write(
          `\n${stopped ? "Continue" : "Saved in"}: ${stopped ? `birkhoff train --resume ${showPlain(folder)}` : showPlain(folder)}\n`,
        );
      }
      if (stopped) return;
    } finally {
      run?.close();
      runtime.close();
      data.close();
    }
    await keepPage(page, !options.json);
  });

async function begin(
  options: TrainOptions,
  command: Command,
  name: string,
): Promise<{ data: PreparedFiles; config: TrainingConfig }> {
  const checked = checkConfig(options, options.connection, name);
  expectEffect(command, options, [options.connection], [checked]);
  const data = await prepare(textOf(options));
  return { data, config: configFrom(options, options.connection, name, data) };
}

const readConfig = (folder: string): TrainingConfig =>
  parseTrainingConfig(describeResumable(folder).config, path.join(folder, "config.json"));

/** runs/NAME, or the first of runs/NAME-2, runs/NAME-3 … that holds no run; with --overwrite the name itself. */
function freeFolder(options: TrainOptions, taken: ReadonlySet<string> = new Set()): string {
  const first = path.join("runs", defaultName(options));
  const isTaken = (folder: string): boolean => taken.has(folder) || isRunFolder(folder);
  let folder = first;
  for (let number = 2; !options.overwrite && isTaken(folder); number++) folder = `${first}-${number}`;
  if (folder !== first) process.stderr.write(`${first} holds a run already; this one goes to ${folder}\n`);
  return folder;
}

/** Open a run in a free folder: where another process takes it at the same instant, in the next one. */
async function openFree(
  options: TrainOptions,
  folder: string,
  open: (folder: string) => Promise<Run>,
): Promise<{ run: Run; folder: string }> {
  const taken = new Set<string>();
  for (let place = folder; ; place = freeFolder(options, taken)) {
    try {
      return { run: await open(place), folder: place };
    } catch (error) {
      if (!(error instanceof FolderInUseError || error instanceof FolderTakenError)) throw error;
      taken.add(place);
    }
  }
}

function defaultName({ data, preset, connection }: TrainOptions): string {
  const source = data === "-" ? "stdin" : path.basename(data).replace(/\.[^.]*$/, "") || "text";
  return `${source}-${preset}-${connection.name}`;
}
