// birkhoff intervene: measure what each part of a trained model's connections is worth.

import path from "node:path";
import { Command } from "commander";
import { readRunData } from "../runs/run-data.ts";
import { renderSvg } from "../report/render.ts";
import { given } from "../basics/given.ts";
import { showMany } from "../basics/show.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { expectPackages } from "../files/packages.ts";
import { reason } from "../files/errors.ts";
import { interventionsFigure } from "../report/figures/interventions.ts";
import { interventionsText } from "../report/interventions-text.ts";
import { widthOf } from "../report/terminal.ts";
import { parseIntervention } from "../study/interventions.ts";
import { runBatches } from "../runs/batches.ts";
import { type CheckpointPlace, latestCheckpoint, loadModel } from "../runs/checkpoint.ts";
import { parseTrainingConfig } from "../training/config.ts";
import { expectFit, leastNeed, memoryLimits } from "../planning/here/memory-limit.ts";
import { planIntervening } from "../planning/here/model-memory.ts";
import { type InterventionRow, intervene, writeInterventions } from "../study/intervene.ts";
import { type FinishedRun, openRunFolder } from "../runs/run-folder.ts";
import { memoryOption, type MemoryOption, wholeNumber, machineOptions, type MachineOptions } from "./options.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { prepareRun } from "./session.ts";
import { formatJson } from "../files/json.ts";
import { warn } from "./warn.ts";

interface InterveneCommandOptions extends MachineOptions, MemoryOption {
  readonly step?: number;
  readonly sublayers?: readonly string[];
  readonly batches?: number;
  readonly meanBatches: number;
  readonly svg?: string;
  readonly cache?: string;
  readonly json?: boolean;
}

const another = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

export const interveneCommand: Command = memoryOption(machineOptions(new Command("intervene")), "intervening")
  .description("Change the mixing maps of a trained model, without training it, and measure the validation loss.")
  .argument("<run>", "a run folder")
  .argument(
    "[interventions...]",
    "identity, mean, uniform, freeze, drop:STREAM, swap:STREAM-STREAM, iterations:NUMBER (default: all of them)",
  )
  .option(
    "--sublayers <set>",
    'all, early, late, each, or a list such as "0-5,8" (counted from 0, attention and feed-forward each); several times for several sets (default: all, early, late and each)',
    another,
  )
  .option("--step <n>", "step of the checkpoint (default: the last)", wholeNumber(0))
  .option("--batches <n>", "validation batches to measure on (default: as many as the run used)", wholeNumber(1))
  .option("--mean-batches <n>", "training batches over which the maps are averaged", wholeNumber(1), 8)
  .option("--svg <file>", "draw the changes as one chart")
  .option("--cache <folder>", "where tokenizers and tokens are kept (default: ~/.cache/birkhoff)")
  .option("--json", "print the results as one JSON object")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff intervene runs/sotu-nano-1/mhc
  birkhoff intervene runs/sotu-nano-1/mhc identity mean --sublayers 0-3 --sublayers 4-last
  birkhoff intervene runs/sotu-nano-1/mhc swap:0-1 --sublayers each --svg swaps.svg
The results are also kept in the run folder, as interventions.json.`,
  )
  .action(async (folder: string, names: readonly string[], options: InterveneCommandOptions) => {
    await expectChosen(options);
    const interventions = names.map(parseIntervention);
    if (options.svg !== undefined) expectPackages("charts");
    const run = openRunFolder(folder);
    const config = parseTrainingConfig(run.config, path.join(folder, "config.json"));
    const place = placeOf(run, options.step);
    const data = await prepareRun(config, folder, options);
    const runtime = await openChosen(options);
    const interrupt = listenForInterrupt();
    let batches: ReturnType<typeof runBatches> | undefined;
    try {
      const { machine } = runtime;
      if (machine)
        expectFit(
          `${config.name}: intervening`,
          memoryLimits(machine.device, options.memory),
          (made) => planIntervening(config, made[0] ? machine.withThreads(made[0].threads) : machine),
          machine.device.threads > 1 ? [{ option: "--threads 1", threads: 1 }] : [],
          "The loss is measured on batches as large as in training: free some memory, or use a run with smaller batches.",
          leastNeed([config.model], 4),
        );
      const checkpoint = loadModel(place.folder);
      batches = runBatches(config, data, options.batches);
      const report = await intervene(runtime, config, checkpoint, batches, {
        ...(interventions.length > 0 ? { interventions } : {}),
        ...given({ sublayers: options.sublayers }),
        meanBatches: options.meanBatches,
        onRow: sayProgress,
        signal: interrupt.signal,
      });
      if (interrupt.signal.aborted) {
        if (process.stderr.isTTY) process.stderr.write("\r\u001B[K");
        if (report.rows.length > 0 && !options.json)
          process.stdout.write(`${interventionsText(report, widthOf(process.stdout))}\n`);
        process.stderr.write(`Stopped after ${showMany(report.rows.length, "intervention")}; nothing is saved.\n`);
        return;
      }
      writeInterventions(folder, report);
      if (options.svg) await writeSvg(options.svg, folder);
      process.stdout.write(
        `${options.json ? formatJson(report) : interventionsText(report, widthOf(process.stdout))}\n`,
      );
      process.stderr.write(`Saved in: ${path.join(folder, "interventions.json")}\n`);
      if (options.svg) process.stderr.write(`Chart: ${options.svg}\n`);
    } finally {
      batches?.close();
      interrupt.close();
      runtime.close();
      data.close();
    }
  });

function placeOf({ folder, checkpoints }: FinishedRun, step: number | undefined): CheckpointPlace {
  if (step === undefined) {
    const place = latestCheckpoint(folder, warn);
    if (place) return place;
    throw new Error(`${folder} has no checkpoint yet; train it first: birkhoff train --resume ${folder}`);
  }
  const place = checkpoints.find((each) => each.step === step);
  if (place) return place;
  const kept = checkpoints.map((each) => each.step).join(", ");
  throw new Error(`${folder} has no checkpoint of step ${step}; ${kept ? `it has those of ${kept}` : "it has none"}.`);
}

/** One line, overwritten each time. A pipe gets nothing, because this takes only seconds. */
function sayProgress({ name }: InterventionRow, done: number, total: number): void {
  if (!process.stderr.isTTY) return;
  const line = done < total ? `${done} of ${total}: ${name}` : "";
  process.stderr.write(`\r\u001B[K${line.slice(0, widthOf(process.stderr) - 1)}`);
}

/** Draw the figure of the report page, with all rows. */
async function writeSvg(file: string, folder: string): Promise<void> {
  const figure = interventionsFigure([readRunData(folder)], Number.POSITIVE_INFINITY);
  if (!figure)
    throw new Error(
      `intervene: there is no chart, because no change of the loss is a finite number; ${folder} holds all results.`,
    );
  const svg = await renderSvg(figure.spec, { background: "white" });
  try {
    writeFileAtomically(file, `${svg}\n`);
  } catch (error) {
    throw new Error(
      `intervene: the chart cannot be written to ${file}: ${reason(error)}. Name a file in an existing folder.`,
      { cause: error },
    );
  }
}
