// Question: how do the training commands run models on this machine and show them?
//
// The text is prepared once; the runs take turns (runs/train-runs.ts) under one live view, until they are finished
// or Ctrl-C ends the loop.

import { homedir } from "node:os";
import path from "node:path";
import { given } from "../basics/given.ts";
import { showCount, showPlain } from "../basics/show.ts";
import { openPrepared, prepareData } from "../data/prepare.ts";
import type { PreparedData, PreparedFiles } from "../data/prepared-files.ts";
import { readTokenizer } from "../data/tokenizer-file.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { createLiveView, duration, type LiveRow, type LiveView } from "../report/live.ts";
import type { SummaryRow } from "../report/summary.ts";
import { prose } from "../report/terminal.ts";
import { largestComposite } from "../stability/gains.ts";
import { mean, median } from "../basics/numbers.ts";
import { showSource, type TrainingConfig } from "../training/config.ts";
import type { Run } from "../runs/run.ts";
import { type RunRequests, trainInTurns, type TurnsResult } from "../runs/train-runs.ts";
import { stepTeller, type Tell } from "./events.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { sourceOf, type TrainingOptions } from "./options.ts";
import { say } from "./warn.ts";

export function cacheFolder(given?: string): string {
  return given ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache"), "birkhoff");
}

/** Which text to read, how, and where to keep its tokens. */
export interface TextWishes {
  readonly source: string | readonly string[];
  readonly vocabulary: number;
  readonly splitSeed?: number;
  readonly extensions?: readonly string[] | undefined;
  readonly skipUnreadable?: boolean | undefined;
  readonly cache?: string | undefined;
  readonly memory?: number | undefined;
  readonly tokenizer?: Tokenizer | undefined;
  readonly column?: string | undefined;
  readonly weights?: readonly number[] | undefined;
  readonly shuffled?: boolean | undefined;
}

/** The text that the options of a training command ask for. */
export function textOf(
  options: Pick<
    TrainingOptions,
    | "data"
    | "vocabulary"
    | "splitSeed"
    | "extensions"
    | "skipUnreadable"
    | "column"
    | "weights"
    | "tokenizer"
    | "cache"
    | "memory"
  >,
): TextWishes {
  const { data, vocabulary, splitSeed, extensions, skipUnreadable, column, weights, cache, memory } = options;
  const tokenizer = options.tokenizer === undefined ? undefined : readTokenizer(options.tokenizer);
  const wishes = { vocabulary, splitSeed, extensions, skipUnreadable, column, weights, cache, memory };
  return { source: sourceOf(data), ...wishes, tokenizer };
}

/** Says which text is read where none was given. */
export function tellOfDefaultText(): void {
  say(
    "No --data is given, so this trains on the State of the Union addresses that come with Birkhoff; --data my.txt takes your own text.",
  );
}

/** Read, tokenise and cache the text, and report progress. */
export async function prepare(wishes: TextWishes): Promise<PreparedData> {
  const { source, vocabulary, splitSeed = 0, cache, ...others } = wishes;
  let shown = "";
  const data = await prepareData(
    { source, vocabularySize: vocabulary, seed: splitSeed, cacheFolder: cacheFolder(cache), ...given(others) },
    ({ stage, share, message }) => {
      // The last line is said below, with more in it.
      if (message === shown || (stage === "tokens" && share === 1)) return;
      say(message);
      shown = message;
    },
  );
  const { trainTokens, validationTokens, vocabularySize, validationBytesPerToken, reused } = data.summary;
  say(
    `${showCount(trainTokens)} training and ${showCount(validationTokens)} validation tokens, ` +
      `vocabulary ${vocabularySize}, ${validationBytesPerToken.toFixed(2)} bytes a token${reused ? " (from the cache)" : ""}`,
  );
  return data;
}

/**
 * The data of a resumed run: its stored tokens, or if these are gone, tokens made again from the same text. An imported
 * run and one that began with the weights of another keep their tokenizer; that of any other is trained on the text.
 *
 * @param folder the run's folder
 */
export async function prepareRun(
  {
    data: { source, prepared, tokenizer: own, shuffled, trainingShare: _share, ...wishes },
    importedFrom,
    startedFrom,
  }: Pick<TrainingConfig, "data" | "importedFrom" | "startedFrom">,
  folder: string,
  { cache, memory }: Pick<TrainingOptions, "cache" | "memory">,
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
  const isOthers = importedFrom !== undefined || startedFrom !== undefined || own !== undefined;
  const tokenizer = isOthers ? readTokenizer(path.join(folder, "tokenizer.json")) : undefined;
  // Several sources are always read shuffled.
  const order = typeof source === "string" ? { shuffled: shuffled ?? false } : {};
  const data = await prepare({ source, ...wishes, ...order, cache, memory, tokenizer });
  if (prepared && data.train.origin.text !== prepared.text) {
    data.close();
    throw new Error(
      `The text of ${showSource(source)} has changed since the run began, so the run cannot continue on the same data. Restore the text, or start a new run.`,
    );
  }
  return data;
}

/**
 * Train runs in turns, draw them as they go, and end on Ctrl-C with every run saved. A run that goes wrong ends
 * without the others, and the process then exits with code 1.
 *
 * @param requests another source of requests to stop or save runs: the live page
 * @param tell hears of every step and note
 * @throws RunStopped when no run could continue
 */
export async function trainAll(
  runs: readonly Run[],
  view: LiveView = createLiveView(),
  requests?: RunRequests,
  tell?: Tell,
): Promise<TurnsResult<Run>> {
  const tellStep = tell && stepTeller(tell);
  const started = performance.now();
  const interrupt = listenForInterrupt();
  interrupt.signal.addEventListener("abort", () => view.ending?.());
  let result: TurnsResult<Run>;
  try {
    result = await trainInTurns(runs, {
      signal: interrupt.signal,
      requests,
      onStep: (run, secondsLeft) => {
        view.update(runs.map(liveRow), secondsLeft);
        tellStep?.(run, secondsLeft);
      },
      onNote: (message) => {
        view.note(prose(showPlain(message), process.stderr));
        tell?.("note", { message });
      },
    });
  } finally {
    interrupt.close();
    view.close();
  }
  const { interrupted, failed } = result;
  const [first] = failed.values();
  if (first && failed.size === runs.length) throw first;
  if (interrupted) {
    // The page's button does what Ctrl-C does.
    process.exitCode ||= 130;
    process.stderr.write(`Stopped after ${duration((performance.now() - started) / 1000)}; every run is saved.\n`);
  }
  if (first) process.exitCode ||= 1;
  return result;
}

function liveRow({ config, trainer, metrics, gains }: Run): LiveRow {
  const last = metrics.at(-1);
  const gain = gains.at(-1);
  return {
    name: showPlain(config.name),
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

/** The maximum of any number of values. Math.max(...values) would overflow the stack for a long run. */
function maximum(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((a, b) => Math.max(a, b));
}
