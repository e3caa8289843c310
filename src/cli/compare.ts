// birkhoff compare: the same transformer with different residual connections, side by side.

import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import type { PreparedFiles } from "../data/prepare.ts";
import { connectionKinds, isMixed } from "../model/config.ts";
import { drawCurves, summaryTable } from "../report/summary.ts";
import type { PageBeside } from "../report/server/beside.ts";
import { hasEventFiles, recordTensorBoard } from "../report/tensorboard.ts";
import { createWasmRuntime } from "../runtime/wasm/runtime.ts";
import { parseTrainingConfig, type RecomputeConfig, type TrainingConfig } from "../training/config.ts";
import { expectMemory, memoryLimits } from "../training/memory-limit.ts";
import { openRunFolder } from "../training/run-folder.ts";
import { AlarmError, openRun, type Run } from "../training/run.ts";
import { comparedByDefault, type ConnectionChoice, parseChoices, writeChoice } from "./connections.ts";
import { type ExperimentName, experiments, type ExperimentSize, withExperiment, withSize } from "./experiments.ts";
import { configFrom, expectResumable, trainingOptions, type TrainingOptions, wholeNumber } from "./options.ts";
import { samplingRandom } from "../data/random.ts";
import { keepPage, showPage } from "./page.ts";
import { prepare, prepareAgain, summaryRow, trainAll } from "./session.ts";
import { writeSample } from "./text.ts";

interface CompareOptions extends TrainingOptions {
  readonly connections: readonly ConnectionChoice[];
  readonly seeds?: readonly number[];
  readonly experiment?: ExperimentName;
  readonly out?: string;
  readonly resume?: string;
}

export const compareCommand: Command = trainingOptions(new Command("compare"))
  .description("Train models that differ only in the residual connection, with the same seeds, data and steps.")
  .addOption(
    new Option(
      "--connections <list>",
      `which connections, joined by commas, out of ${connectionKinds.join(", ")}; with options of its own a connection is kind:option=value:option=value`,
    )
      .argParser(parseChoices)
      .default(comparedByDefault, comparedByDefault.map(({ name }) => name).join()),
  )
  .option("--seeds <list>", "train each with several seeds, joined by commas: 1,2,3 (default: --seed)", wholeNumbers)
  .addOption(
    new Option("--experiment <name>", "an experiment with sizes, seeds and figures of its own").choices(
      Object.keys(experiments),
    ),
  )
  .option("--out <folder>", "folder of the run folders (default: the first free runs/<data>-<preset>-N)")
  .option("--resume <folder>", "go on with a comparison; options of models and training are taken from its runs")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff compare                                   the State of the Union addresses, about five minutes
  birkhoff compare --data my.txt --steps 200 --connections residual,manifold
  birkhoff compare --connections residual,manifold,manifold:residualMap=identity
  birkhoff compare --preset moe-nano                 latent attention and mixtures of experts, as in the mHC paper
  birkhoff compare --seeds 1,2,3 --steps 300         bands instead of single curves in the report
  birkhoff compare --alarm gain=30:stop --tensorboard   watch closely; tensorboard --logdir runs draws the curves
  birkhoff compare --resume runs/sotu-nano-1

Experiments (options given beside them come first, so each can be tried in small: --steps 50):
${Object.entries(experiments)
  .map(([name, { shows }]) => `  --experiment ${name.padEnd(10)} ${shows}`)
  .join("\n")}`,
  )
  .action(async (options: CompareOptions, command: Command) => {
    if (options.resume !== undefined) expectResumable(command, ["connections", "seeds", "experiment", "out"]);
    const folder = options.resume ?? options.out ?? freeFolder(options);
    if (options.resume === undefined && runsIn(folder).length > 0) {
      throw new Error(
        `There are runs in ${folder} already: go on with them (birkhoff compare --resume ${folder}) or give another --out.`,
      );
    }
    const configs = options.resume === undefined ? undefined : readConfigs(options.resume, options.recompute);
    const { data, wanted } = configs
      ? { data: await prepareAgain(configs[0]!.data, options.cache), wanted: configs }
      : await begin(options, command);
    const runtime = await createWasmRuntime({
      ...(options.threads ? { threads: options.threads } : {}),
      revectorise: options.revectorise,
    });
    const runs: Run[] = [];
    let page: PageBeside | undefined;
    try {
      expectMemory(wanted, runtime, memoryLimits(options.memory), {
        resumed: configs !== undefined,
        connections: (field, values) =>
          `--connections ${options.connections.map((choice, index) => writeChoice(choice, field, values[index])).join()}`,
        alone: configs
          ? `each alone, birkhoff train --resume ${path.join(folder, configs[0]!.name)}, and so on`
          : "each alone, birkhoff train --connection NAME",
      });
      for (const config of wanted) {
        const place = path.join(folder, config.name);
        const boarded = options.tensorboard || hasEventFiles(place);
        const run = openRun(runtime, config, data, place, {
          existing: options.resume ? "resume" : "refuse",
          onWarning: (message) => process.stderr.write(`warning: ${message}\n`),
        });
        runs.push(boarded ? recordTensorBoard(run, place) : run);
      }
      const [{ config: shared }] = runs as [Run];
      process.stderr.write(
        `${runs.length} models of ${shared.model.layers} layers, width ${shared.model.width}, context ${shared.model.context}; ` +
          `${shared.steps} steps of ${shared.batch * shared.accumulate} sequences; ${runtime.threads} threads; runs in ${folder}\n`,
      );
      if (options.page !== undefined) page = await showPage(runs, folder, options.page);
      const { stopped, diverged } = await trainAll(runs, undefined, page);
      const rows = runs.map((run) => {
        const alarmed = diverged.get(run) instanceof AlarmError;
        return { ...summaryRow(run), diverged: diverged.has(run) && !alarmed, ...(alarmed ? { alarmed } : {}) };
      });
      if (options.json) {
        for (const row of rows)
          process.stdout.write(`${JSON.stringify({ folder: path.join(folder, row.name), stopped, ...row })}\n`);
        return;
      }
      const colour = process.stdout.isTTY;
      const curves = runs.map(({ config, metrics }) => ({
        name: config.name,
        values: metrics.map(({ loss }) => loss),
      }));
      process.stdout.write(
        `\nTraining loss, nats a token\n${drawCurves(curves, { colour })}\n\n${summaryTable(rows)}\n`,
      );
      process.stdout.write(
        "Memory is what the plan of the training step needs. Gains are the largest composite Amax gains; a plain residual mixes no streams.\n",
      );
      process.stdout.write(
        `Measured on models of ${rows[0]!.parameters.toLocaleString("en")} parameters; small models say little about the ranking of large ones.\n`,
      );
      if (stopped) {
        process.stdout.write(`\nGo on: birkhoff compare --resume ${folder}\n`);
        return;
      }
      const trained = runs.filter((run) => !diverged.has(run));
      for (const run of trained)
        process.stdout.write(
          `\n── ${run.config.name}\n${writeSample(run, data.tokenizer, samplingRandom(run.config.seed))}\n`,
        );
      const last = path.join(folder, trained.at(-1)!.config.name);
      process.stdout.write(
        `\nLook closer: birkhoff inspect ${last}\nWrite more:  birkhoff sample ${last} --prompt "We must"\n`,
      );
    } finally {
      for (const run of runs) run.close();
      runtime.close();
      data.close();
    }
    await keepPage(page, !options.json);
  });

/** A configuration for every size, connection and seed. */
async function begin(
  asked: CompareOptions,
  command: Command,
): Promise<{ data: PreparedFiles; wanted: TrainingConfig[] }> {
  const experiment = asked.experiment && experiments[asked.experiment];
  const options = experiment ? withExperiment(asked, experiment, command) : asked;
  const data = await prepare({
    source: options.data,
    vocabulary: options.vocabulary,
    splitSeed: options.splitSeed,
    cache: options.cache,
  });
  const sizes: readonly (ExperimentSize | undefined)[] = experiment?.sizes ?? [undefined];
  const seeds = options.seeds ?? [options.seed];
  const wanted = sizes.flatMap((size) =>
    options.connections.flatMap((choice) =>
      seeds.map((seed) => {
        const name = [choice.name, size?.name, seeds.length > 1 && `seed${seed}`].filter(Boolean).join("-");
        const sized = size ? withSize(options, size, command) : options;
        return configFrom({ ...sized, seed }, choice, name, data);
      }),
    ),
  );
  return { data, wanted };
}

/** Whole numbers joined by commas, no two alike. */
function wholeNumbers(text: string): number[] {
  const numbers = text.split(",").map(wholeNumber(0));
  if (new Set(numbers).size < numbers.length) throw new InvalidArgumentError("Each seed can be there once.");
  return numbers;
}

function freeFolder({ data, preset, experiment }: CompareOptions): string {
  const source = data === "-" ? "stdin" : path.basename(data).replace(/\.[^.]*$/, "") || "text";
  for (let number = 1; ; number++) {
    const folder = path.join("runs", `${source}-${experiment ?? preset}-${number}`);
    if (!existsSync(folder)) return folder;
  }
}

/** The runs of a comparison, in the order of their connections' kinds and then by name. */
function runsIn(folder: string): string[] {
  return (existsSync(folder) ? readdirSync(folder).sort() : [])
    .map((name) => path.join(folder, name))
    .filter((run) => existsSync(path.join(run, "config.json")));
}

function readConfigs(folder: string, recompute?: RecomputeConfig): TrainingConfig[] {
  const configs = runsIn(folder).map((run) => {
    const config = parseTrainingConfig(openRunFolder(run).config, path.join(run, "config.json"));
    return recompute === undefined ? config : { ...config, recompute };
  });
  if (configs.length === 0) {
    throw new Error(
      `${folder} holds no comparison (no folders with a config.json, such as ${comparedByDefault.map(({ name }) => name).join(", ")}). To go on with one run: birkhoff train --resume ${folder}`,
    );
  }
  if (new Set(configs.map(({ data }) => JSON.stringify(data))).size > 1) {
    throw new Error(
      `The runs in ${folder} are of different texts; go on with each alone: birkhoff train --resume ${path.join(folder, configs[0]!.name)}, and so on.`,
    );
  }
  const place = ({ model: { connection } }: TrainingConfig): number =>
    isMixed(connection) ? connectionKinds.length : connectionKinds.indexOf(connection.kind);
  return configs.sort((a, b) => place(a) - place(b));
}
