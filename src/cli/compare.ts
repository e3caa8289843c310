// birkhoff compare: the same transformer with different residual connections, side by side.

import { shellWord, showMany, showPlain } from "../basics/show.ts";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { given } from "../basics/given.ts";
import { isObject } from "../basics/objects.ts";
import { hasCode, reason } from "../files/errors.ts";
import type { PreparedFiles } from "../data/prepared-files.ts";
import { connectionKinds } from "../connections/table.ts";
import { equallySized } from "../model/equal-size.ts";
import { isMixed } from "../model/overrides.ts";
import { drawCurves, type SummaryRow, summaryTable } from "../report/summary.ts";
import { lookOf } from "../report/terminal.ts";
import type { PageBeside } from "../report/server/beside.ts";
import { hasEventFiles, recordTensorBoard } from "../interop/tensorboard.ts";
import { parseTrainingConfig, showSource, type TrainingConfig } from "../training/config.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { expectPackages } from "../files/packages.ts";
import { describeResumable } from "../runs/description.ts";
import { isRunFolder } from "../runs/find-runs.ts";
import { openRun, type Run } from "../runs/run.ts";
import { AlarmError } from "../training/reactions.ts";
import { acceptConfig } from "./config-file.ts";
import { comparedByDefault, type ConnectionChoice, parseChoices, writeChoice } from "./connections.ts";
import { reportExperiment, writeExperiment } from "./experiment-report.ts";
import { type ExperimentName, experiments, type ExperimentSize, withExperiment, withSize } from "./experiments.ts";
import { changedConfig, checkConfig, configFrom, expectEffect, expectResumable } from "./configuration.ts";
import { isGiven, trainingOptions, seed, sourceName, sourceOf, type TrainingOptions } from "./options.ts";
import { keepPage, showPage } from "./page.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { trainingRoom } from "./room.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { prepare, prepareRun, summaryRow, tellOfDefaultText, textOf, trainAll } from "./session.ts";
import { samplePrompt, writeSample } from "../runs/write-sample.ts";
import { printedSample } from "./text.ts";
import { startOf, tellJson } from "./events.ts";
import { print, say, warn } from "./warn.ts";
import { readText } from "../files/read.ts";

interface CompareOptions extends TrainingOptions {
  readonly connections: readonly ConnectionChoice[];
  readonly seeds?: readonly number[];
  readonly experiment?: ExperimentName;
  readonly out?: string;
  readonly resume?: string;
}

export const compareCommand: Command = acceptConfig(trainingOptions(new Command("compare")))
  .description("Train models that differ only in the residual connection, with the same seeds, data and steps.")
  .addOption(
    new Option(
      "--connections <list>",
      `connections to compare, separated by commas: ${connectionKinds.join(", ")}; give options to one as kind:option=value:option=value`,
    )
      .argParser(parseChoices)
      .default(comparedByDefault, comparedByDefault.map(({ name }) => name).join()),
  )
  .addOption(
    new Option(
      "--seeds <list>",
      "train each connection with several seeds, separated by commas: 1,2,3 (default: --seed)",
    )
      .argParser(wholeNumbers)
      .conflicts("seed"),
  )
  .addOption(
    new Option("--experiment <name>", "a prepared experiment, which sets sizes, seeds and figures").choices(
      Object.keys(experiments),
    ),
  )
  .option("--out <folder>", "folder of the run folders (default: the first free runs/<data>-<preset>-N)")
  .option("--resume <folder>", "continue a comparison; the options of models and training come from its runs")
  .addHelpText(
    "after",
    `
Examples:
  birkhoff compare                                   the State of the Union addresses, about five minutes
  birkhoff compare --data my.txt --steps 200 --connections residual,mhc
  birkhoff compare --data tokens/train.bin           token ids, with their tokenizer.json beside them (docs/data.md)
  birkhoff compare --connections residual,mhc,mhc:residualMap=identity
  birkhoff compare --preset moe-nano                 latent attention and mixtures of experts, as in the mHC paper
  birkhoff compare --seeds 1,2,3 --steps 300         bands instead of single curves in the report
  birkhoff compare --alarm gain=30:stop --tensorboard   watch closely; tensorboard --logdir runs draws the curves
  birkhoff compare --resume runs/sotu-nano-1

Experiments (your own options override theirs, so you can try one at a small size: --steps 50):
${Object.entries(experiments)
  .map(([name, { shows }]) => `  --experiment ${name.padEnd(10)} ${shows}`)
  .join("\n")}`,
  )
  .action(async (options: CompareOptions, command: Command) => {
    if (options.resume !== undefined) expectResumable(command, ["connections", "seeds", "experiment", "out"]);
    if (options.experiment && isGiven(command, "preset"))
      throw new Error(
        `--experiment ${options.experiment} chooses its own models, and --preset chooses others: leave out one of the two.`,
      );
    const experiment = options.resume === undefined ? options.experiment : experimentOf(options.resume);
    // An experiment ends with a report; that it cannot be drawn is said before the training, not after it.
    if (experiment) expectPackages("pictures");
    if (options.page !== undefined) expectPackages("page");
    await expectChosen(options);
    let folder = options.resume ?? options.out ?? freeFolder(options, command);
    if (options.resume === undefined && isRunFolder(folder))
      throw new Error(`${folder} is a run itself, and runs inside a run are not shown: give another --out.`);
    if (options.resume === undefined && runsIn(folder).length > 0) {
      throw new Error(
        `${folder} already holds runs: continue them (birkhoff compare --resume ${folder}) or give another --out.`,
      );
    }
    const configs =
      options.resume === undefined
        ? undefined
        : readConfigs(options.resume, (config) => changedConfig(config, options, command));
    const runtime = await openChosen(options);
    const runs: Run[] = [];
    let data: PreparedFiles | undefined;
    let page: PageBeside | undefined;
    try {
      const writes = (wanted: readonly TrainingConfig[]): boolean =>
        wanted.some(({ sampleEvery }) => sampleEvery !== undefined) || !(options.json || experiment);
      const begun = configs
        ? await beginAgain(
            configs.map(({ config }) => config),
            folder,
            options,
            runtime,
            writes,
          )
        : await begin(options, command, runtime, writes);
      const { wanted } = begun;
      const text = (data = begun.data);
      const prompt = samplePrompt(text);
      if (options.resume === undefined && options.out === undefined) folder = takeFree(options, command);
      for (const config of wanted) {
        const place = path.join(folder, config.name);
        const boarded = options.tensorboard || hasEventFiles(place);
        const run = await openRun(runtime, config, text, place, {
          existing: options.resume ? "resume" : "refuse",
          onWarning: warn,
          onNote: say,
          ...given({ changed: configs?.[0]?.changed }),
        });
        runs.push(boarded ? recordTensorBoard(run, place) : run);
      }
      if (experiment) writeFileAtomically(path.join(folder, EXPERIMENT), `${JSON.stringify({ experiment })}\n`);
      say(`${describeRuns(wanted)}; ${showMany(runtime.device.threads, "thread")}; runs in ${showPlain(folder)}\n`);
      if (options.page !== undefined) page = await showPage(runs, folder, options.page);
      const tell = options.json ? tellJson : undefined;
      tell?.("start", startOf(runs, folder));
      const { interrupted: stopped, failed, dismissed } = await trainAll(runs, undefined, page, tell);
      const rows = runs.map((run) => {
        const alarmed = failed.get(run) instanceof AlarmError;
        const halted = dismissed.has(run);
        return {
          ...summaryRow(run),
          diverged: failed.has(run) && !alarmed,
          ...given({ alarmed: alarmed || undefined, halted: halted || undefined }),
        };
      });
      const goOn = `birkhoff compare --resume ${shellWord(folder)}`;
      if (tell) {
        const results = rows.map(({ halted = false, ...row }) => ({
          folder: path.join(folder, row.name),
          stopped: stopped || halted,
          ...row,
        }));
        for (const result of results) tell("run", result);
        const report =
          experiment && !stopped
            ? (await writeExperiment(experiment, runs, folder, runtime, text)).written[0]
            : undefined;
        tell("result", { folder, stopped, runs: results, ...given({ report }) });
        if (stopped) process.stderr.write(`Continue: ${goOn}\n`);
        return;
      }
      showResults(runs, rows);
      if (stopped) {
        process.stdout.write(`\nContinue: ${goOn}\n`);
        return;
      }
      const trained = runs.filter((run) => !failed.has(run) && !dismissed.has(run));
      if (dismissed.size > 0) process.stdout.write(`\nContinue what was stopped: ${goOn}\n`);
      if (experiment) await reportExperiment(experiment, runs, folder, runtime, text);
      else await showTexts(trained, text, prompt);
      const last = path.join(folder, (trained.at(-1) ?? runs.at(-1)!).config.name);
      process.stdout.write(
        [
          "",
          ...(experiment ? [] : [`All figures: birkhoff report ${shellWord(folder)}`]),
          `Look closer: birkhoff inspect ${shellWord(last)}`,
          `Write more:  birkhoff sample ${shellWord(last)} --prompt ${shellWord(prompt)}\n`,
        ].join("\n"),
      );
    } finally {
      for (const run of runs) run.close();
      runtime.close();
      data?.close();
    }
    await keepPage(page, !options.json);
  });

/** A file in an experiment's folder that names the experiment, so that a resumed comparison knows it. */
const EXPERIMENT = "experiment.json";

function experimentOf(folder: string): ExperimentName | undefined {
  const file = path.join(folder, EXPERIMENT);
  if (!existsSync(file)) return undefined;
  let marked: unknown;
  try {
    marked = JSON.parse(readText(file));
  } catch (error) {
    throw new Error(`cannot read ${file}: ${reason(error)}. Remove it, or name the experiment again`, { cause: error });
  }
  const experiment = isObject(marked) ? marked["experiment"] : undefined;
  return Object.keys(experiments).find((name): name is ExperimentName => name === experiment);
}

/** "9 models of 24 layers, width 64, context 64; 600 steps of 16 sequences", or the range of each. */
function describeRuns(configs: readonly TrainingConfig[]): string {
  const range = (read: (config: TrainingConfig) => number): string =>
    [...new Set(configs.map(read).sort((a, b) => a - b))]
      .filter((_, k, all) => k === 0 || k === all.length - 1)
      .join("–");
  const of = (name: "layers" | "width" | "context"): string => range(({ model }) => model[name]);
  return (
    `${showMany(configs.length, "model")} of ${of("layers")} layers, width ${of("width")}, context ${of("context")}; ` +
    `${range(({ steps }) => steps)} steps of ${range(({ batch, accumulate }) => batch * accumulate)} sequences`
  );
}

/** Loss curves and the table. */
function showResults(runs: readonly Run[], rows: readonly SummaryRow[]): void {
  const look = lookOf(process.stdout);
  const curves = runs.map(({ config, metrics }) => ({ name: config.name, values: metrics.map(({ loss }) => loss) }));
  const sizes = [...new Set(rows.map(({ parameters }) => parameters))].sort((a, b) => a - b);
  const between = [sizes[0]!, ...(sizes.length > 1 ? [sizes.at(-1)!] : [])].map((size) => size.toLocaleString("en"));
  process.stdout.write(
    `\nTraining loss, nats a token\n${drawCurves(curves, look)}\n\n${summaryTable(rows, look.width)}\n`,
  );
  print(
    "Memory is what the plan of the training step needs. Gains are the largest composite Amax gains; a plain residual mixes no streams.\n" +
      `Measured on models of ${between.join(" to ")} parameters; small models say little about the ranking of large ones.\n`,
  );
}

/** Let every model of the first seed write a text. */
async function showTexts(runs: readonly Run[], data: PreparedFiles, prompt: string): Promise<void> {
  for (const run of runs.filter(({ config }) => config.seed === runs[0]!.config.seed)) {
    const { text = "" } = (await writeSample(run, data.tokenizer, prompt)) ?? {};
    print(`\n── ${run.config.name}\n${printedSample(prompt + text)}\n`);
  }
}

/** What is compared, and on which text; there is memory for it. */
interface Begun {
  readonly data: PreparedFiles;
  readonly wanted: readonly TrainingConfig[];
}

type Writes = (wanted: readonly TrainingConfig[]) => boolean;

async function beginAgain(
  wanted: readonly TrainingConfig[],
  folder: string,
  options: CompareOptions,
  runtime: Runtime,
  writes: Writes,
): Promise<Begun> {
  const [first] = wanted as [TrainingConfig];
  const place = path.join(folder, first.name);
  const alone = `each one alone (birkhoff train --resume ${place}, and so on)`;
  trainingRoom(runtime, options, { resumed: true, alone }).before(wanted, writes(wanted), true);
  return { data: await prepareRun(first, place, options), wanted };
}

/** A configuration for every size, connection and seed. */
async function begin(asked: CompareOptions, command: Command, runtime: Runtime, writes: Writes): Promise<Begun> {
  const experiment = asked.experiment && experiments[asked.experiment];
  const options = experiment ? withExperiment(asked, experiment, command) : asked;
  const sizes: readonly (ExperimentSize | undefined)[] = experiment?.sizes ?? [undefined];
  const seeds = options.seeds ?? [options.seed];
  const wishes = sizes.flatMap((size) =>
    options.connections.flatMap((choice) =>
      seeds.map((seed) => {
        const name = [choice.name, size?.name, seeds.length > 1 && `seed${seed}`].filter(Boolean).join("-");
        const sized = size ? withSize(options, size, command) : options;
        return { choice, name, options: { ...sized, seed } };
      }),
    ),
  );
  const text = textOf(options);
  const checked = wishes.map((wish) =>
    checkConfig(wish.options, wish.choice, wish.name, text.tokenizer?.vocabularySize),
  );
  expectEffect(command, options, options.connections, checked);
  const room = trainingRoom(runtime, options, {
    connections: (field, values) =>
      `--connections ${[...new Set(wishes.map(({ choice }, index) => writeChoice(choice, field, values[index])))].join()}`,
    alone: "each one alone (birkhoff train --connection NAME)",
  });
  room.before(checked, writes(checked), text.tokenizer !== undefined);
  if (!isGiven(command, "data") && experiment?.options.data === undefined) tellOfDefaultText();
  const data = await prepare(text);
  if (experiment?.asksQuestions && !data.generated) {
    data.close();
    throw new Error(
      `--experiment ${asked.experiment} asks generated questions, and --data is ${showSource(sourceOf(options.data))}. Give --data generated:TASKS, or leave it out.`,
    );
  }
  const asMade = wishes.map(({ choice, name, options: own }) => configFrom(own, choice, name, data));
  const equal = experiment?.equalParameters ? equallySized(asMade.map(({ model }) => model)) : undefined;
  const wanted = equal ? asMade.map((config, at) => ({ ...config, model: equal[at]! })) : asMade;
  room.after(wanted, writes(wanted));
  return { data, wanted };
}

/** Different whole numbers, separated by commas. */
function wholeNumbers(text: string): number[] {
  const numbers = text.split(",").map(seed);
  if (new Set(numbers).size < numbers.length) throw new InvalidArgumentError("Give each seed only once.");
  return numbers;
}

function freeFolder({ data, preset, experiment }: CompareOptions, command: Command): string {
  const own = isGiven(command, "data") ? undefined : experiment && experiments[experiment].options.data;
  const source = sourceName(own ?? data);
  for (let number = 1; ; number++) {
    const folder = path.join("runs", `${source}-${experiment ?? preset.name}-${number}`);
    if (!existsSync(folder)) return folder;
  }
}

/** Make the first free folder; another process may take one at the same instant. */
function takeFree(options: CompareOptions, command: Command): string {
  for (;;) {
    const folder = freeFolder(options, command);
    try {
      mkdirSync(path.dirname(folder), { recursive: true });
      mkdirSync(folder);
      return folder;
    } catch (error) {
      if (!hasCode(error, "EEXIST") || !existsSync(folder))
        throw new Error(`cannot make the folder ${folder}: ${reason(error)}. Give another with --out`, {
          cause: error,
        });
    }
  }
}

/** The runs of a comparison, in the order of their connections' kinds and then by name. */
function runsIn(folder: string): string[] {
  return (existsSync(folder) ? readdirSync(folder).sort() : [])
    .map((name) => path.join(folder, name))
    .filter(isRunFolder);
}

type ChangedConfig = ReturnType<typeof changedConfig>;

function readConfigs(folder: string, change: (config: TrainingConfig) => ChangedConfig): ChangedConfig[] {
  const configs = runsIn(folder).map((run) =>
    change(parseTrainingConfig(describeResumable(run).config, path.join(run, "config.json"))),
  );
  if (configs.length === 0) {
    throw new Error(
      `${folder} holds no comparison (no folders with a config.json, such as ${comparedByDefault.map(({ name }) => name).join(", ")}). To continue a single run: birkhoff train --resume ${folder}`,
    );
  }
  if (new Set(configs.map(({ config: { data } }) => JSON.stringify(data))).size > 1) {
    throw new Error(
      `The runs in ${folder} were trained on different texts. Continue each one alone: birkhoff train --resume ${path.join(folder, configs[0]!.config.name)}, and so on.`,
    );
  }
  const place = ({ model: { connection } }: TrainingConfig): number =>
    isMixed(connection) ? connectionKinds.length : connectionKinds.indexOf(connection.kind);
  return configs.sort((a, b) => place(a.config) - place(b.config));
}
