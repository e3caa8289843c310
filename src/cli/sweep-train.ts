// Question: how are the runs of a sweep trained on this machine?
//
// Each point becomes a configuration and a job; small models train best on one thread each, so as many processes as
// cores and memory allow take jobs from one queue. A point that has ended is not trained again.

import { availableParallelism } from "node:os";
import path from "node:path";
import { Command } from "commander";
import { isObject } from "../basics/objects.ts";
import { sum } from "../basics/numbers.ts";
import { showMany } from "../basics/show.ts";
import { sweepLeftovers } from "../files/atomic.ts";
import { reason } from "../files/errors.ts";
import { lockFolder } from "../files/lock.ts";
import { ensureWritableFolder } from "../files/space.ts";
import { memoryLimits } from "../planning/here/memory-limit.ts";
import { runsAtATime } from "../planning/here/sweep-memory.ts";
import { createSweepView } from "../report/sweep-live.ts";
import {
  fieldOf,
  isOption,
  type SweepDefinition,
  type SweepPoint,
  sweepPoints,
  type SweepValue,
} from "../runs/sweep/definition.ts";
import { isSweepFolder, readOutcome, readSweepPlan, sweepFiles, writeSweepPlan } from "../runs/sweep/folder.ts";
import { type QueueResult, runJobs } from "../runs/sweep/queue.ts";
import type { SweepJob } from "../runs/sweep/worker.ts";
import { plannedMachine } from "../runtime/machines.ts";
import type { RuntimeChoice } from "../runtime/open.ts";
import { showSource, type TrainingConfig } from "../training/config.ts";
import { checkConfig, configFrom } from "./configuration.ts";
import { choiceOf, parseChoice } from "./connections.ts";
import { type Tell, tellJson } from "./events.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { type MemoryOption, sourceOf, trainingOptions, type TrainingOptions } from "./options.ts";
import { withLeastVocabulary } from "./room.ts";
import { expectChosen } from "./runtime.ts";
import { prepare, textOf } from "./session.ts";
import { withSuggestion } from "./suggest.ts";
import { say, warn } from "./warn.ts";

/** How the runs of a sweep use this machine. */
export interface SweepTraining extends MemoryOption {
  readonly workers?: number;
  /** The only point to train, from 1, where others are trained elsewhere at the same time. */
  readonly point?: number;
  readonly threads: number;
  readonly runtime: RuntimeChoice;
  readonly revectorise: boolean;
  readonly cache?: string;
  readonly json?: boolean;
}

/** The picture of a sweep, in its folder. */
export const SWEEP_CHART = "sweep.svg";

/** Train the runs that have not ended. Returns true if the user stopped it. */
export async function trainSweep(sweep: SweepDefinition, folder: string, options: SweepTraining): Promise<boolean> {
  const cores = availableParallelism();
  const wished = options.workers ?? Math.max(1, Math.floor(cores / options.threads));
  if (wished * options.threads > cores)
    warn(
      `${showMany(wished, "worker")} of ${showMany(options.threads, "thread")} need more than the ${showMany(cores, "core")}; each run will be slower`,
    );
  const all = sweepPoints(sweep);
  const points = options.point === undefined ? all : [pointOf(all, options.point)];
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
  // Several tasks of an array are in the folder at once, each with a run of its own, which it locks.
  const unlock = options.point === undefined ? lockFolder(folder) : () => undefined;
  try {
    sweepLeftovers(folder, [...sweepFiles, SWEEP_CHART]);
    const known = isSweepFolder(folder) ? readSweepPlan(folder).texts : {};
    writeSweepPlan(folder, { sweep, texts: { ...known, ...texts } });
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

function pointOf(points: readonly SweepPoint[], number: number): SweepPoint {
  const point = points[number - 1];
  if (point) return point;
  throw new RangeError(`--point ${number} is given; the sweep has the points 1 to ${points.length}. Give one of them.`);
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
  { runtime, threads, revectorise, cache, memory }: SweepTraining,
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
