// Question: how do the training commands run models on this machine and show them?
//
// One runtime, any number of runs that take turns step by step, one live view. Ctrl-C ends the loop
// after the step in progress; every run then saves a checkpoint.

import { homedir } from "node:os";
import path from "node:path";
import { given } from "../basics/given.ts";
import { openPrepared, type PreparedData, type PreparedFiles, prepareData, readTokenizer } from "../data/prepare.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { createLiveView, duration, type LiveRow, type LiveView } from "../report/live.ts";
import type { SummaryRow } from "../report/summary.ts";
import { largestComposite } from "../stability/gains.ts";
import { mean, median } from "../stability/statistics.ts";
import type { TrainingConfig } from "../training/config.ts";
import { describeEvent } from "../training/alarms.ts";
import type { EventRecord } from "../training/records.ts";
import { DivergenceError, type Run } from "../runs/run.ts";

export function cacheFolder(given?: string): string {
  return given ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache"), "birkhoff");
}

/** Read, tokenise and cache the text, saying what happens. */
export async function prepare(options: {
  source: string;
  vocabulary: number;
  splitSeed?: number;
  cache?: string | undefined;
  tokenizer?: Tokenizer | undefined;
}): Promise<PreparedData> {
  const say = (line: string): void => void process.stderr.write(line);
  let shown = "";
  const data = await prepareData(
    {
      source: options.source,
      vocabularySize: options.vocabulary,
      seed: options.splitSeed ?? 0,
      cacheFolder: cacheFolder(options.cache),
      ...given({ tokenizer: options.tokenizer }),
    },
    ({ message }) => {
      if (message !== shown) say(`${message}\n`);
      shown = message;
    },
  );
  const { trainTokens, validationTokens, vocabularySize, validationBytesPerToken, reused } = data.summary;
  say(
    `${trainTokens.toLocaleString("en")} training and ${validationTokens.toLocaleString("en")} validation tokens, ` +
      `vocabulary ${vocabularySize}, ${validationBytesPerToken.toFixed(2)} bytes a token${reused ? " (from the cache)" : ""}\n`,
  );
  return data;
}

/**
 * The data of a run that goes on: its tokens where they were kept, or made again from the same text. A run that
 * was imported keeps its own tokenizer; that of others is trained on the text.
 *
 * @param folder the run's
 */
export async function prepareRun(
  { data: { source, vocabulary, splitSeed, prepared }, importedFrom }: Pick<TrainingConfig, "data" | "importedFrom">,
  folder: string,
  cache?: string,
): Promise<PreparedFiles> {
  if (prepared) {
    try {
      return openPrepared(prepared.folder, { text: prepared.text });
    } catch (error) {
      if (source === "-") {
        throw new Error(
          `The run read standard input, and its tokens cannot be opened: ${(error as Error).message}. Start a new run.`,
          { cause: error },
        );
      }
    }
  }
  const tokenizer = importedFrom === undefined ? undefined : readTokenizer(path.join(folder, "tokenizer.json"));
  const data = await prepare({ source, vocabulary, splitSeed, cache, tokenizer });
  if (prepared && data.train.origin.text !== prepared.text) {
    data.close();
    throw new Error(
      `The text of ${source} has changed since the run began, so it cannot go on with the same data. Bring the text back, or start a new run.`,
    );
  }
  return data;
}

type Ask = (action: "stop" | "checkpoint", folder?: string) => void;

/** Something besides the terminal that may ask to stop or to save the run of a folder, or all: the live page. */
interface Controls {
  listen(handler: Ask | undefined): void;
}

/** Signals closer together than this are one press of Ctrl-C. */
const REPEATED_MS = 300;

/**
 * Train runs in turns until all are finished or the user stops. A run that diverges ends, as does one that the
 * user stops alone, and the others go on; whatever else goes wrong, every other run is saved before the error goes up.
 *
 * @returns `stopped` when the user ended it all, the runs that went wrong, and those that were stopped alone: they
 *   are saved and closed, so that they can go on elsewhere at once
 */
export async function trainAll(
  runs: readonly Run[],
  view: LiveView = createLiveView(),
  controls?: Controls,
): Promise<{ stopped: boolean; diverged: ReadonlyMap<Run, DivergenceError>; left: ReadonlySet<Run> }> {
  const diverged = new Map<Run, DivergenceError>();
  const left = new Set<Run>();
  const told = new Set<EventRecord>(runs.flatMap(({ events }) => events));
  const healthy = (): Run[] => runs.filter((run) => !diverged.has(run) && !left.has(run));
  const going = (run: Run): boolean => !run.finished && !diverged.has(run) && !left.has(run);
  const user = { stopped: false };
  const asks: Parameters<Ask>[] = [];
  let asked = 0;
  const stop = (): void => {
    // A second Ctrl-C does not wait for the checkpoint; one that npm passes on at once is still the first.
    if (user.stopped && performance.now() - asked > REPEATED_MS) process.exit(130);
    if (!user.stopped) asked = performance.now();
    user.stopped = true;
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  const answer: Ask = (action, folder) => {
    const meant = healthy().filter((run) => folder === undefined || run.folder.folder === folder);
    const ending = meant.filter(going);
    const others = runs.some((run) => going(run) && !meant.includes(run));
    if (action === "checkpoint") saveAll(meant);
    else if (others) ending.forEach(leave);
    else if (ending.length > 0) user.stopped = true;
  };
  const leave = (run: Run): void => {
    run.checkpoint();
    run.close();
    left.add(run);
    view.note(`${run.config.name} is stopped and saved at step ${run.trainer.step}; the others go on.`);
  };
  controls?.listen((...ask) => void asks.push(ask));
  const started = performance.now();
  const begun = runs.reduce((sum, { trainer }) => sum + trainer.step, 0);
  try {
    while (!user.stopped && runs.some(going)) {
      for (const run of runs.filter(going)) {
        if (user.stopped) break;
        if (!going(run)) continue;
        try {
          run.advance();
        } catch (error) {
          if (!(error instanceof DivergenceError)) throw error;
          diverged.set(run, error);
          if (runs.length > 1) view.note(error.message);
        }
        // What stops a run is told by its error.
        for (const event of run.events.filter((event) => !told.has(event) && event.action !== "stop"))
          view.note(`${run.config.name}: ${describeEvent(event)}`);
        for (const event of run.events) told.add(event);
        view.update(runs.map(liveRow), secondsLeft(runs, healthy(), begun, (performance.now() - started) / 1000));
        // A step is one synchronous call; signals and messages are delivered between steps.
        await new Promise((resolve) => setImmediate(resolve));
        for (const ask of asks.splice(0)) {
          try {
            answer(...ask);
          } catch (error) {
            // A save that only a button asked for; those that are due by themselves decide.
            view.note(`What the page asked for failed: ${(error as Error).message}`);
          }
        }
      }
    }
  } catch (error) {
    try {
      saveAll(healthy());
    } catch {
      // What went wrong first is what the user must hear.
    }
    throw error;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    controls?.listen(undefined);
    view.close();
  }
  saveAll(healthy());
  const [first] = diverged.values();
  if (first && diverged.size === runs.length) throw first;
  if (user.stopped)
    process.stderr.write(`Stopped after ${duration((performance.now() - started) / 1000)}; every run is saved.\n`);
  if (diverged.size > 0) process.exitCode = 1;
  return { ...user, diverged, left };
}

/** Save every run, also after one that cannot be saved; then say what went wrong. */
function saveAll(runs: readonly Run[]): void {
  const errors: unknown[] = [];
  for (const run of runs) {
    try {
      run.checkpoint();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0)
    throw new Error(errors.map((error) => (error as Error).message).join("\n"), { cause: errors[0] });
}

function secondsLeft(runs: readonly Run[], going: readonly Run[], begun: number, elapsed: number): number | undefined {
  const done = runs.reduce((sum, { trainer }) => sum + trainer.step, 0) - begun;
  const left = going.reduce((sum, { trainer, config }) => sum + config.steps - trainer.step, 0);
  return done > 3 ? (elapsed / done) * left : undefined;
}

function liveRow({ config, trainer, metrics, gains }: Run): LiveRow {
  const last = metrics.at(-1);
  const gain = gains.at(-1);
  return {
    name: config.name,
    step: trainer.step,
    steps: config.steps,
    loss: last && mean(metrics.slice(-20).map(({ loss }) => loss)),
    tokensPerSecond: last && median(metrics.slice(-20).map(({ tokensPerSecond }) => tokensPerSecond)),
    gradientNorm: last?.gradientNorm,
    gain: gain?.composite && largestComposite(gain).backward,
    bitsPerByte: metrics.findLast(({ bitsPerByte }) => bitsPerByte !== undefined)?.bitsPerByte,
  };
}

export function summaryRow({ config, trainer, metrics, gains, events }: Run): SummaryRow {
  const largest = gains.filter(({ composite }) => composite).map(largestComposite);
  const alarm = events.at(-1);
  return {
    name: config.name,
    parameters: trainer.parameterCount,
    bitsPerByte: metrics.findLast(({ bitsPerByte }) => bitsPerByte !== undefined)?.bitsPerByte,
    tokensPerSecond: metrics.length > 0 ? median(metrics.map(({ tokensPerSecond }) => tokensPerSecond)) : 0,
    memoryBytes: trainer.memoryBytes,
    largestGradientNorm: maximum(metrics.map(({ gradientNorm }) => gradientNorm)),
    largestForwardGain: maximum(largest.map(({ forward }) => forward)),
    largestBackwardGain: maximum(largest.map(({ backward }) => backward)),
    alarms: events.length,
    lastAlarm: alarm && `${alarm.rule} at step ${alarm.step}`,
  };
}

/** Of any number of values: Math.max(...values) overflows the stack of a long run. */
function maximum(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((a, b) => Math.max(a, b));
}
