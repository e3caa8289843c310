// birkhoff sample: write text with a checkpoint.

import { randomInt } from "node:crypto";
import path from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { parseDecimal } from "../basics/numbers.ts";
import { readTokenizer } from "../data/tokenizer-file.ts";
import { samplingRandom } from "../data/random.ts";
import { createParameters } from "../graph/parameters.ts";
import { createGenerator } from "../model/generate.ts";
import { languageModel } from "../model/language-model.ts";
import { type WrittenPiece, writeTexts } from "../model/write-texts.ts";
import type { Machine } from "../runtime/plan/machine.ts";
import { latestCheckpoint, loadModel } from "../runs/checkpoint.ts";
import { parseTrainingConfig } from "../training/config.ts";
import { type Change, expectFit, leastNeed, memoryLimits } from "../planning/here/memory-limit.ts";
import { planWriting, type RunningModel } from "../planning/here/model-memory.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import { restoreTensors } from "../training/restore.ts";
import { acceptConfig } from "./config-file.ts";
import { memoryOption, type MemoryOption, seed, wholeNumber, machineOptions, type MachineOptions } from "./options.ts";
import { listenForInterrupt } from "./interrupt.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import { inPrecision } from "../runtime/precision.ts";
import { warn } from "./warn.ts";

interface SampleOptions extends MachineOptions, MemoryOption {
  readonly prompt?: readonly string[];
  readonly tokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly stop: readonly string[];
  readonly seed?: number;
  readonly json?: boolean;
}

/** A number from `least` on, or above it, up to `most`. */
function numberBetween(least: number, most: number, { above = false } = {}): (text: string) => number {
  const lower = above ? `above ${least}` : `of at least ${least}`;
  const said = most === Infinity ? lower : above ? `${lower} and at most ${most}` : `from ${least} to ${most}`;
  return (text) => {
    const value = parseDecimal(text);
    const fits = (above ? value > least : value >= least) && value <= most && value < Infinity;
    if (text.trim() === "" || !fits) throw new InvalidArgumentError(`It must be a number ${said}.`);
    return value;
  };
}

const another = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

export const sampleCommand: Command = acceptConfig(memoryOption(machineOptions(new Command("sample")), "writing"))
  .description("Stream text from a run's last checkpoint.")
  .argument("<run>", "a run folder")
  .option("--prompt <text>", 'how the text begins; repeat it for several texts (default: "The")', another)
  .option("--tokens <n>", "most tokens to write", wholeNumber(1), 200)
  .option("--temperature <t>", "0 always takes the most likely token", numberBetween(0, Infinity), 0.8)
  .option("--top-k <k>", "consider only the k most likely tokens", wholeNumber(1))
  .option("--top-p <p>", "only the fewest tokens whose probabilities sum to p", numberBetween(0, 1, { above: true }))
  .option("--min-p <p>", "only tokens at least p times as likely as the most likely", numberBetween(0, 1))
  .option(
    "--repetition-penalty <r>",
    "above 1 makes tokens less likely that the text already holds",
    numberBetween(0, Infinity, { above: true }),
  )
  .option("--stop <text>", "end a text before this; repeat it for several", another, [])
  .option("--seed <n>", "the same seed writes the same text (default: a random one)", seed)
  .option("--json", "a line of JSON for every token, with its log-probability, and for the end of every text")
  .addHelpText("after", `\nExample:\n  birkhoff sample runs/sotu-nano-1/mhc --prompt "Fellow citizens" --seed 7`)
  .action(async (folder: string, options: SampleOptions) => {
    await expectChosen(options);
    const { config: described } = openRunFolder(folder);
    const config = parseTrainingConfig(described, path.join(folder, "config.json"));
    const place = latestCheckpoint(folder, warn);
    if (!place) throw new Error(`${folder} has no checkpoint yet; train it first: birkhoff train --resume ${folder}`);
    const tokenizer = readTokenizer(path.join(folder, "tokenizer.json"));
    const prompts = options.prompt ?? ["The"];
    if (prompts.includes(""))
      throw new Error('--prompt is empty; give at least one character, such as --prompt "The".');

    const runtime = inPrecision(await openChosen(options), config.precision);
    const interrupt = listenForInterrupt();
    try {
      const lengths = prompts.map((prompt) => tokenizer.before.length + tokenizer.encode(prompt).length);
      if (runtime.machine) expectRoom(config, runtime.machine, lengths, options);
      const parameters = createParameters();
      const model = languageModel(config.model, parameters);
      restoreTensors(runtime, parameters.all, loadModel(place.folder).model, "model");
      const pieces = writeTexts(createGenerator(runtime, model), tokenizer, prompts, {
        ...given(options, ["temperature", "topK", "topP", "minP", "repetitionPenalty", "stop"]),
        maxTokens: options.tokens,
        random: samplingRandom(options.seed ?? randomInt(2 ** 31)),
      });
      const write = (text: string): void => void process.stdout.write(text);
      const wanted = untilAborted(pieces, interrupt.signal);
      if (options.json) for await (const piece of wanted) write(`${JSON.stringify(piece)}\n`);
      else if (prompts.length === 1) await stream(prompts[0]!, wanted, write);
      else await inTurn(prompts, wanted, write);
    } finally {
      interrupt.close();
      runtime.close();
    }
  });

/** Something smaller to write when memory is short. */
interface Less extends Change {
  readonly prompts?: readonly number[];
  readonly tokens?: number;
  readonly threads?: number;
  /** Whether to halve the prompts, however many there are. */
  readonly half?: true;
}

/** Throw if memory does not suffice to write this. */
function expectRoom(
  running: RunningModel,
  machine: Machine,
  prompts: readonly number[],
  { tokens, memory }: SampleOptions,
): void {
  const longest = Math.max(...prompts);
  // A text that ends within the window needs no second place in the cache.
  const within = running.model.context - longest + 1;
  const changes: Less[] = [
    ...(prompts.length > 1 ? [{ option: "one --prompt at a time", prompts: [longest] }] : []),
    ...(tokens > within && within > 0 ? [{ option: `--tokens ${within}`, tokens: within }] : []),
    ...(machine.device.threads > 1 ? [{ option: "--threads 1", threads: 1 }] : []),
    ...(longest > 1 ? [{ option: "prompts of half the length", half: true as const }] : []),
  ];
  expectFit(
    prompts.length > 1 ? `Writing ${prompts.length} texts` : "Writing",
    memoryLimits(machine.device, memory),
    (made) => {
      const { threads, half, ...text } = made.reduce<Omit<Less, "option">>(
        (all, change) => ({ ...all, ...change }),
        {},
      );
      const lengths = text.prompts ?? prompts;
      return planWriting(running, threads ? machine.withThreads(threads) : machine, {
        tokens,
        ...text,
        prompts: half ? lengths.map((n) => Math.ceil(n / 2)) : lengths,
      });
    },
    changes,
    "Most of it is the model: free some memory, or use a smaller model.",
    leastNeed([running.model], 4),
  );
}

/** The options that the user gave. */
function given<K extends keyof SampleOptions>(options: SampleOptions, names: readonly K[]): Pick<SampleOptions, K> {
  const entries = names.map((name) => [name, options[name]] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as Pick<SampleOptions, K>;
}

/** The pieces until someone asks to end. Signals are delivered between tokens, whose computation may be synchronous. */
async function* untilAborted<T>(pieces: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  for await (const piece of pieces) {
    if (signal.aborted) return;
    yield piece;
    await new Promise((resolve) => void setImmediate(resolve));
  }
}

/** Write every piece as it comes. The prompt comes with the first piece, when nothing can fail any more. */
async function stream(
  prompt: string,
  pieces: AsyncIterable<WrittenPiece>,
  write: (text: string) => void,
): Promise<void> {
  let begun = "";
  for await (const { piece } of pieces) {
    if (begun === "") write((begun = prompt));
    write(piece);
  }
  write("\n");
}

/** Write several texts at once, and print each as a whole, in the order of the prompts. */
async function inTurn(
  prompts: readonly string[],
  pieces: AsyncIterable<WrittenPiece>,
  write: (text: string) => void,
): Promise<void> {
  const texts = [...prompts];
  for await (const { prompt, piece } of pieces) texts[prompt] += piece;
  write(texts.map((text) => `${text}\n`).join("\n"));
}
