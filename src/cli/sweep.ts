// birkhoff sweep: train one model with every combination of some settings, on all cores, and summarise the runs.

import type { RuntimeChoice } from "../runtime/open.ts";
import { plannedMachine } from "../runtime/machines.ts";
import { existsSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { Command } from "commander";
import { sum } from "../basics/numbers.ts";
import { isObject } from "../basics/objects.ts";
import { shellWord, showMany } from "../basics/show.ts";
import { sweepLeftovers, writeFileAtomically } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { MissingPackages } from "../files/packages.ts";
import { memoryLimits } from "../planning/here/memory-limit.ts";
import { drawSweep } from "../report/sweep-chart.ts";
import { createSweepView } from "../report/sweep-live.ts";
import { sweepTable } from "../report/sweep-table.ts";
import { prose, widthOf } from "../report/terminal.ts";
import { showSource, type TrainingConfig } from "../training/config.ts";
import { lockFolder } from "../files/lock.ts";
import { ensureWritableFolder } from "../files/space.ts";
import { TOLERANCE_BITS } from "../runs/sweep/analysis.ts";
import {
  fieldOf,
  isOption,
  parseSweep,
  type SweepDefinition,
  type SweepPoint,
  sweepPoints,
  type SweepValue,
} from "../runs/sweep/definition.ts";
import {
  isSweepFolder,
  readOutcome,
  readSweepPlan,
  summariseSweep,
  sweepFiles,
  type SweepSummary,
  writeSweepPlan,
} from "../runs/sweep/folder.ts";
import { runsAtATime } from "../planning/here/sweep-memory.ts";
import { type QueueResult, runJobs } from "../runs/sweep/queue.ts";
import type { SweepJob } from "../runs/sweep/worker.ts";
import { acceptConfig } from "./config-file.ts";
import { checkConfig, configFrom } from "./configuration.ts";
import { choiceOf, parseChoice } from "./connections.ts";
import {
  memoryOption,
  type MemoryOption,
  positiveNumber,
  trainingOptions,
  type TrainingOptions,
  wholeNumber,
  runtimeOption,
  sourceOf,
} from "./options.ts";
import { withSuggestion } from "./suggest.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { withLeastVocabulary } from "./room.ts";
import { expectChosen } from "./runtime.ts";
import { prepare, textOf } from "./session.ts";
import { type Tell, tellJson } from "./events.ts";
import { say, warn } from "./warn.ts";
import { readDataFile } from "../files/data-file.ts";

interface SweepOptions extends MemoryOption {
  readonly out?: string;
  readonly workers?: number;
  readonly threads: number;
  readonly runtime: RuntimeChoice;
  readonly revectorise: boolean;
  readonly cache?: string;
  readonly report?: boolean;
  readonly tolerance: number;
  readonly json?: boolean;
}

/** The picture of a sweep, in its folder. */
const CHART = "sweep.svg";

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
  birkhoff sweep runs/rates --report --json`,
  )
  .action(async (file: string, options: SweepOptions) => {
    const { sweep, folder } = await openSweep(file, options);
    const stopped = options.report ? false : await train(sweep, folder, options);
    await report(sweep, folder, stopped, options);
  });

/** The sweep that a file or a folder holds, and the folder of its runs. */
async function openSweep(
  file: string,
  { out, report }: SweepOptions,
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

/** Train the runs that have not ended. Returns true if the user stopped it. */
async function train(sweep: SweepDefinition, folder: string, options: SweepOptions): Promise<boolean> {
  const cores = availableParallelism();
  const wished = options.workers ?? Math.max(1, Math.floor(cores / options.threads));
  if (wished * options.threads > cores)
    warn(
      `${showMany(wished, "worker")} of ${showMany(options.threads, "thread")} need more than the ${showMany(cores, "core")}; each run will be slower`,
    );
  const points = sweepPoints(sweep);
  await expectChosen(options);
  // With tiles of 16 columns or of 8: which one the machine uses is not known before a run starts.
  const machine = plannedMachine({ threads: options.threads });
  const isUnfinished = ({ folder: place }: { readonly folder: string }): boolean => readOutcome(place) === undefined;
  const atATime = (runs: readonly { readonly name: string; readonly config: TrainingConfig }[]): number =>
    runsAtATime(
      runs.map((run) => ({ ...run, values: values.get(run.name) ?? {} })),
      machine,
      memoryLimits(machine.device, options.memory),
      wished,
    );
  const values = new Map(points.map((point) => [point.name, point.values]));
  const { jobs, texts } = await makeJobs(sweep, points, folder, options, (runs) => {
    // What does not fit with any vocabulary is refused before a text is read.
    atATime(
      runs
        .filter(({ name }) => isUnfinished({ folder: path.join(folder, name) }))
        .map(({ name, config }) => ({ name, config: withLeastVocabulary(config) })),
    );
  });
  const unfinished = (): SweepJob[] => jobs.filter(isUnfinished);
  const workers = atATime(unfinished().map(({ name, config }) => ({ name, config })));
  ensureWritableFolder(folder);
  const unlock = lockFolder(folder);
  try {
    sweepLeftovers(folder, [...sweepFiles, CHART]);
    writeSweepPlan(folder, { sweep, texts });
    const left = unfinished().sort((a, b) => cost(b) - cost(a));
    const fewer = workers < Math.min(wished, left.length) ? `, because more do not fit into memory` : "";
    say(
      `${showMany(points.length, "run")}, ${points.length - left.length} done; ${workers} at a time${fewer}, ${showMany(options.threads, "thread")} each; in ${folder}`,
    );
    const done = jobs.length - left.length;
    const tell = options.json ? tellJson : undefined;
    tell?.("start", { folder, points: jobs.length, done });
    const { result, stopped } = await runAll(left, workers, done, tell);
    if (result.failed.size > 0)
      throw new Error(
        `${showMany(result.failed.size, "run")} failed. The others are kept; the same command tries these again:\n${[...result.failed].map(([name, message]) => `  ${name}: ${message}`).join("\n")}`,
      );
    return stopped;
  } finally {
    unlock();
  }
}

async function runAll(
  jobs: readonly SweepJob[],
  workers: number,
  before: number,
  tell?: Tell,
): Promise<{ result: QueueResult; stopped: boolean }> {
  const toldSteps = new Map<string, number>();
  const toldEnds = new Set<string>();
  const view = createSweepView();
  const total = sum(jobs.map(cost));
  const started = performance.now();
  const queue = runJobs(jobs, workers, ({ running, ended }) => {
    for (const [{ name, config }, { step, loss }] of running) {
      if (step === 0 || step === toldSteps.get(name)) continue;
      toldSteps.set(name, step);
      tell?.("step", { run: name, step, steps: config.steps, loss });
    }
    for (const { name, folder } of ended) {
      if (toldEnds.has(name)) continue;
      toldEnds.add(name);
      // A run that was stopped, or whose process failed, has no outcome yet.
      tell?.("end", { run: name, folder, outcome: readOutcome(folder)?.outcome ?? "stopped" });
    }
    const part = sum([...running].map(([{ config }, { step }]) => costOf(config, step)));
    const share = (sum(ended.map(cost)) + part) / total;
    view.update({
      done: before + ended.length,
      points: before + jobs.length,
      running: [...running].map(([{ name, config }, { step, loss }]) => ({ name, step, loss, steps: config.steps })),
      // At first, the time to start the processes would weigh too much.
      secondsLeft: share > 0.02 ? ((performance.now() - started) / 1000) * (1 / share - 1) : undefined,
    });
  });
  const interrupt = listenForInterrupt();
  const { signal } = interrupt;
  signal.addEventListener("abort", () => {
    queue.stop();
    view.ending();
  });
  try {
    return { result: await queue.result, stopped: signal.aborted };
  } finally {
    interrupt.close();
    view.close();
  }
}

/** A rough measure of a run's work. The longest runs start first, and the remaining time is estimated from it. */
const cost = ({ config }: SweepJob): number => costOf(config, config.steps);

function costOf({ batch, accumulate, model }: TrainingConfig, steps: number): number {
  const { width, hidden, layers, vocabulary, context } = model;
  return steps * batch * accumulate * context * width * (layers * (4 * width + 3 * hidden + context) + vocabulary);
}

async function makeJobs(
  sweep: SweepDefinition,
  points: readonly SweepPoint[],
  folder: string,
  { runtime, threads, revectorise, cache, memory }: SweepOptions,
  expectRoom: (runs: readonly { readonly name: string; readonly config: TrainingConfig }[]) => void,
): Promise<{ jobs: SweepJob[]; texts: Record<string, string> }> {
  const prepared = new Map<string, Awaited<ReturnType<typeof prepare>>>();
  const texts: Record<string, string> = {};
  const wishes = points.map(({ name, values }) => ({ name, ...optionsOf({ ...sweep.base, ...values }, name) }));
  // All of them before a text is read, which may take minutes.
  const checked = wishes.map(({ name, options, connection }) => {
    if (options.data.includes("-"))
      throw new Error("A sweep cannot read standard input, because every run reads the text: give a file.");
    return { name, config: ofPoint(name, () => checkConfig(options, connection, name)) };
  });
  expectRoom(checked);
  try {
    const jobs: SweepJob[] = [];
    for (const { name, options, connection } of wishes) {
      const { data: sources, vocabulary, splitSeed, extensions, skipUnreadable, column, weights, tokenizer } = options;
      const key = JSON.stringify([
        sources,
        vocabulary,
        splitSeed,
        extensions,
        skipUnreadable,
        column,
        weights,
        tokenizer,
      ]);
      const data = prepared.get(key) ?? (await prepare({ ...textOf(options), cache, memory }));
      prepared.set(key, data);
      texts[showSource(sourceOf(sources))] = data.train.origin.text;
      jobs.push({
        name,
        config: ofPoint(name, () => configFrom(options, connection, name, data)),
        folder: path.join(folder, name),
        data: { folder: path.resolve(data.summary.folder), text: data.train.origin.text },
        threads,
        runtime,
        revectorise,
        keepCheckpoints: sweep.keepCheckpoints,
      });
    }
    tellOfTwins(jobs);
    return { jobs, texts };
  } finally {
    for (const data of prepared.values()) data.close();
  }
}

/** Says which points have the same configuration, as where an axis means nothing to one of the connections. */
function tellOfTwins(jobs: readonly SweepJob[]): void {
  const first = new Map<string, string>();
  const twins = jobs.flatMap(({ name, config }) => {
    const key = JSON.stringify({ ...config, name: "" });
    const before = first.get(key);
    if (before === undefined) first.set(key, name);
    return before === undefined ? [] : [`${name} is ${before}`];
  });
  if (twins.length === 0) return;
  const shown = twins.slice(0, 5).join("; ");
  warn(
    `${twins.length} of the ${showMany(jobs.length, "run")} ${twins.length === 1 ? "repeats" : "repeat"} another with the same configuration: ${shown}${twins.length > 5 ? "; and so on" : ""}. Leave them out with "exclude".`,
  );
}

/** Puts the point's name before an error. */
function ofPoint<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new Error(`${name}: ${reason(error)}`, { cause: error });
  }
}

/** The option of `birkhoff train` with this name in camel case. */
const optionName = (field: string): string => `--${field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** The options of `birkhoff train` for a point, as its own parsers read them. */
function optionsOf(
  fields: Readonly<Record<string, SweepValue>>,
  name: string,
): { options: TrainingOptions; connection: ReturnType<typeof parseChoice> } {
  const command = trainingOptions(new Command("train"))
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  const args: string[] = [];
  let connection = parseChoice("mhc");
  try {
    for (const [key, value] of Object.entries(fields)) {
      const field = fieldOf(key);
      const text = typeof value === "string" ? value : JSON.stringify(value);
      // A connection for most sublayers and others for some is no choice.
      if (field === "connection" && !(isObject(value) && "default" in value))
        connection = isObject(value) ? choiceOf(value) : parseChoice(text);
      else if (field === "connection") args.push("--set", `model.connection=${text}`);
      // An option without a value: given, or left out.
      else if (field === "skipUnreadable" && typeof value === "boolean")
        args.push(...(value ? [optionName(field)] : []));
      else if (isOption(field)) args.push(optionName(field), text);
      else args.push("--set", `${field}=${JSON.stringify(value)}`);
    }
    command.parse(args, { from: "user" });
  } catch (error) {
    throw new Error(`${name}: ${withSuggestion(reason(error), command)}`, { cause: error });
  }
  return { options: command.opts<TrainingOptions>(), connection };
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
    writeFileAtomically(path.join(folder, CHART), await drawSweep(summary));
    return true;
  } catch (error) {
    if (!(error instanceof MissingPackages)) throw error;
    warn(`${error.message}. Then birkhoff sweep ${folder} --report draws the chart.`);
    return false;
  }
}
