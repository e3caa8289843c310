// Question: which options do the commands share, and how are their values read?

import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { given } from "../basics/given.ts";
import { parseDecimal } from "../basics/numbers.ts";
import { didYouMean } from "../basics/names.ts";
import { MOST_COUNT, MOST_ITERATIONS, MOST_SEQUENCES, MOST_STREAMS, MOST_TOKENS } from "../basics/bounds.ts";
import { type MhcConventionName, mhcConventionNames } from "../connections/conventions/table.ts";
import { type InitialisationName, initialisationNames } from "../connections/initialisations.ts";
import { type ResidualMapName, residualMapNames } from "../connections/manifolds/table.ts";
import { extensionsOf, parseSource, textExtensions } from "../data/corpus.ts";
import { presets } from "../model/config.ts";
import { type AlarmName, alarmNames } from "../stability/alarms.ts";
import { alarmActions, type AlarmSetting } from "../training/alarms.ts";
import {
  type RecomputeConfig,
  type ReducePrecision,
  reducePrecisions,
  type Sharded,
  shardings,
} from "../training/config.ts";
import { optimizerEntry, type OptimizerKind, optimizerKinds } from "../training/optimizers/table.ts";
import { type RuntimeChoice, runtimeChoices } from "../runtime/open.ts";
import { type ComputePrecision, computePrecisions } from "../runtime/precision.ts";
import { parseChoice } from "./connections.ts";
import { parsePreset, type PresetChoice } from "./presets.ts";
import { type MeshSize, parseMesh } from "../training/parallel/mesh.ts";

/** A whole number that is no less than `minimum` and no more than `most`. */
export function wholeNumber(minimum: number, most: number = MOST_COUNT): (text: string) => number {
  return (text) => {
    const value = parseDecimal(text);
    if (!Number.isInteger(value) || value < minimum || value > most)
      throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${most}.`);
    return value;
  };
}

/** 0.002, of lion 0.0003 and so on. */
const usualRates = optimizerKinds
  .map((kind) => [kind, optimizerEntry(kind).usual.learningRate] as const)
  .filter(([kind, rate]) => kind === "adamw" || rate !== optimizerEntry("adamw").usual.learningRate)
  .map(([kind, rate]) => (kind === "adamw" ? String(rate) : `of ${kind} ${rate}`))
  .join(", ");

/** Any whole number that JavaScript holds exactly. */
export const seed: (text: string) => number = wholeNumber(0, Number.MAX_SAFE_INTEGER);

/** A share above 0, at most 1. */
function shareOfText(text: string): number {
  const value = positiveNumber(text);
  if (value > 1) throw new InvalidArgumentError("It must be a number above 0, at most 1, such as 0.1.");
  return value;
}

/** A finite number above zero. */
export function positiveNumber(text: string): number {
  const value = parseDecimal(text);
  if (!(value > 0) || value === Number.POSITIVE_INFINITY)
    throw new InvalidArgumentError("It must be a finite number above 0.");
  return value;
}

/** Endings of files, separated by commas: .txt,.py or * for all. */
export function fileExtensions(text: string): string[] {
  try {
    return [...extensionsOf(text.split(",").map((one) => one.trim()))];
  } catch {
    throw new InvalidArgumentError(
      "It must be endings of files, separated by commas, such as .txt,.py; '*' means all.",
    );
  }
}

export function portNumber(text: string): number {
  const value = parseDecimal(text);
  if (!/^\d+$/.test(text) || value > 65_535)
    throw new InvalidArgumentError("It must be a whole number from 0 to 65535.");
  return value;
}

/** none, auto or a number of sublayers. */
export function recomputation(text: string): RecomputeConfig {
  if (text === "none" || text === "auto") return text;
  const value = parseDecimal(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError("It must be none, auto or a whole number of at least 1.");
  return value;
}

/** Bytes: 2GiB, 512MiB, 3GB or a plain number. */
function memorySize(text: string): number {
  const units: Readonly<Record<string, number>> = {
    "": 1,
    KB: 1e3,
    MB: 1e6,
    GB: 1e9,
    KiB: 2 ** 10,
    MiB: 2 ** 20,
    GiB: 2 ** 30,
  };
  const [, number, unit] = /^([\d.e]+)\s*([KMG]i?B)?$/.exec(text.trim()) ?? [];
  const bytes = Number(number) * units[unit ?? ""]!;
  if (!(bytes > 0 && bytes <= Number.MAX_SAFE_INTEGER))
    throw new InvalidArgumentError("It must be an amount of memory such as 2GiB, 512MiB or 3GB.");
  return bytes;
}

/** What a command line says of the machine. */
export interface MachineOptions {
  readonly runtime: RuntimeChoice;
  readonly threads?: number;
  /** false after --no-revectorise. */
  readonly revectorise: boolean;
}

/** --runtime alone. */
export function runtimeOption(command: Command): Command {
  return command.addOption(
    new Option("--runtime <name>", "what computes: the fastest that there is, or one by its name (birkhoff doctor)")
      .choices(runtimeChoices)
      .default("auto"),
  );
}

/**
 * --runtime, and how it uses the processor.
 *
 * @param usual how many threads it takes where none are given
 */
export function machineOptions(command: Command, usual = "all cores"): Command {
  return runtimeOption(command)
    .option("--threads <n>", `threads (default: ${usual})`, wholeNumber(1, 256))
    .option("--no-revectorise", "do not ask V8 for 256-bit vectors");
}

/** The most bytes that a command may use. */
export interface MemoryOption {
  readonly memory?: number;
}

/** @param what takes the memory */
export function memoryOption(command: Command, what: string): Command {
  return command.option(
    "--memory <size>",
    `the most memory that ${what} may use, such as 2GiB (default: all that is free)`,
    memorySize,
  );
}

export interface TrainingOptions extends MachineOptions, MemoryOption {
  /** At least one source. */
  readonly data: readonly string[];
  readonly column?: string;
  readonly weights?: readonly number[];
  readonly tokenizer?: string;
  readonly extensions?: readonly string[];
  readonly skipUnreadable?: boolean;
  readonly preset: PresetChoice;
  readonly vocabulary: number;
  readonly steps: number;
  readonly batch: number;
  readonly accumulate: number;
  readonly context?: number;
  readonly precision?: ComputePrecision;
  readonly recompute?: RecomputeConfig;
  readonly sharded?: Sharded;
  readonly reducePrecision?: ReducePrecision;
  readonly optimizer?: OptimizerKind;
  readonly learningRate?: number;
  readonly warmup?: number;
  readonly schedule: "step" | "cosine" | "constant";
  readonly streams: number;
  readonly iterations: number;
  readonly residualMap?: ResidualMapName;
  readonly convention?: MhcConventionName;
  readonly initialisation?: InitialisationName;
  readonly seed: number;
  readonly splitSeed: number;
  readonly trainingShare?: number;
  readonly evaluateEvery?: number;
  readonly checkpointEvery?: number;
  readonly sampleEvery?: number;
  readonly alarm: readonly AlarmChoice[];
  /** false after --no-alarms. */
  readonly alarms: boolean;
  readonly tensorboard?: boolean;
  readonly set: readonly string[];
  readonly cache?: string;
  readonly page?: number | true;
  readonly json?: boolean;
}

/** What is trained on when nothing else is asked for. */
const DEFAULT_DATA: readonly string[] = ["sotu"];

/** What --data names, as configurations have it: one source, or several. */
export const sourceOf = (data: readonly string[]): string | readonly string[] => (data.length === 1 ? data[0]! : data);

/** What --data names, as a name of runs begins. */
export function sourceName([first = "", ...others]: readonly string[]): string {
  if (first === "-") return "stdin";
  if (parseSource(first).kind === "generated") return "generated";
  const base = path.basename(first).replace(/\.[^.]*$/, "") || "text";
  return others.length > 0 ? `${base}-and-${others.length}` : base;
}

function weightList(text: string): number[] {
  const weights = text.split(",").map((one) => parseDecimal(one));
  if (!weights.every((weight) => weight > 0 && weight < 1e9))
    throw new InvalidArgumentError(
      "It must be numbers above 0 and below 1e9, separated by commas, one for each source of --data.",
    );
  return weights;
}

/** What the command line sets for one rule. */
export type AlarmChoice = readonly [rule: AlarmName, setting: "off" | AlarmSetting];

/** gain, gain=100, gain:stop, gain=100:rollback or gain=off. */
export function parseAlarm(text: string): AlarmChoice {
  const [, name = "", bound, action] = /^([^=:]*)(?:=([^:]*))?(?::(.*))?$/.exec(text) ?? [];
  const rule = alarmNames.find((known) => known === name);
  if (!rule)
    throw new InvalidArgumentError(
      `"${name}" is not a rule; use ${alarmNames.join(", ")}.${didYouMean(name, alarmNames)}`,
    );
  if (bound === "off" && action === undefined) return [rule, "off"];
  const number = parseDecimal(bound ?? "");
  if (bound !== undefined && (bound.trim() === "" || !(number >= 0) || number === Number.POSITIVE_INFINITY))
    throw new InvalidArgumentError(`The bound of ${rule} is "${bound}"; it must be off or a number of at least 0.`);
  if (rule === "saturation" && number >= 1)
    throw new InvalidArgumentError(
      `The bound of saturation is ${bound}, but |λ₂| never exceeds 1; give a bound below 1, such as 0.995.`,
    );
  const known = alarmActions.find((each) => each === action);
  if (action !== undefined && !known)
    throw new InvalidArgumentError(
      `"${action}" is not an action; use ${alarmActions.join(", ")}.${didYouMean(action, alarmActions)}`,
    );
  return [rule, given({ bound: bound === undefined ? undefined : number, action: known })];
}

export function trainingOptions(command: Command): Command {
  const collect = <T>(value: T, earlier: readonly T[]): T[] => [...earlier, value];
  return memoryOption(machineOptions(command), "training")
    .addOption(
      new Option(
        "--data <source...>",
        "sotu (State of the Union addresses), moby-dick, a file of text, .jsonl (.gz, .zst), .parquet or .bin, a folder of such, several of them, - for standard input, or generated:TASKS (docs/reasoning.md)",
      )
        .argParser((text: string, before: readonly string[]) => (before === DEFAULT_DATA ? [text] : [...before, text]))
        .default(DEFAULT_DATA, "sotu"),
    )
    .option("--column <name>", "of .parquet and .jsonl files: the column that holds the text (default: text)")
    .option(
      "--weights <list>",
      "of several sources: how often each is read beside the others, such as 3,1 (default: as they have tokens)",
      weightList,
    )
    .option(
      "--tokenizer <file>",
      "a tokenizer.json to use instead of one trained on the text; .bin files need theirs (default for these: the one beside them)",
    )
    .option(
      "--extensions <list>",
      `of a folder: endings of the files to read, separated by commas; '*' for all (default: ${textExtensions.join()})`,
      fileExtensions,
    )
    .option("--skip-unreadable", "of a folder: leave out files that are not UTF-8 text, and say how many")
    .addOption(
      new Option(
        "--preset <size>",
        `model size: ${Object.keys(presets).join(", ")}, or a file of your own such as ./my-preset.json`,
      )
        .argParser(parsePreset)
        .default(parsePreset("nano"), "nano"),
    )
    .option("--vocabulary <n>", "largest vocabulary of the tokenizer", wholeNumber(257, MOST_TOKENS), 1024)
    .option("--steps <n>", "training steps", wholeNumber(1), 700)
    .option("--batch <n>", "sequences in a batch", wholeNumber(1, MOST_SEQUENCES), 16)
    .option(
      "--accumulate <n>",
      "batches whose gradients are averaged before an update",
      wholeNumber(1, MOST_SEQUENCES),
      1,
    )
    .addOption(
      new Option(
        "--precision <name>",
        "bits of what the model computes with: bfloat16 halves what a step keeps in memory; fp8 is bfloat16 with factors of products in 8 bits (e4m3, a scale for each block of 128; docs/precision.md) (default: float32)",
      ).choices(computePrecisions),
    )
    .option(
      "--recompute <n>",
      "save memory: store the state every n sublayers and compute the rest again; auto: the n that needs least memory (default: none)",
      recomputation,
    )
    .addOption(
      new Option(
        "--sharded <what>",
        "what several processes divide among them: moments, or gradients too, which are then sent after each microbatch (default: gradients where each has one microbatch, else moments; docs/clusters.md)",
      ).choices(shardings),
    )
    .addOption(
      new Option(
        "--reduce-precision <name>",
        "as what several processes send each other gradients: bfloat16 halves their messages (default: float32)",
      ).choices(reducePrecisions),
    )
    .option("--context <n>", "tokens in a sequence (default: the preset's)", wholeNumber(1, MOST_TOKENS))
    .addOption(
      new Option(
        "--optimizer <kind>",
        "how parameters follow their gradients; muon: orthogonal steps of matrices (default: adamw; docs/optimizers.md)",
      ).choices(optimizerKinds),
    )
    .option("--learning-rate <rate>", `highest learning rate (default: ${usualRates})`, positiveNumber)
    .option("--warmup <n>", "steps over which the learning rate rises (default: 5 % of the steps)", wholeNumber(0))
    .addOption(
      new Option(
        "--schedule <kind>",
        "how the learning rate falls; step is the mHC paper's: x 0.316 at 80 %, x 0.1 at 90 %",
      )
        .choices(["step", "cosine", "constant"])
        .default("step"),
    )
    .option("--streams <n>", "streams of HC, mHC and the gated residual", wholeNumber(1, MOST_STREAMS), 4)
    .option("--iterations <n>", "Sinkhorn-Knopp iterations of mHC", wholeNumber(1, MOST_ITERATIONS), 20)
    .addOption(
      new Option("--residual-map <name>", "set of matrices that mHC mixes with (default: sinkhorn)").choices([
        ...residualMapNames,
      ]),
    )
    .addOption(
      new Option("--convention <name>", "whose formulas mHC follows (default: paper)").choices([...mhcConventionNames]),
    )
    .addOption(
      new Option("--initialisation <name>", "how mHC's own parameters start (default: default)").choices([
        ...initialisationNames,
      ]),
    )
    .option("--seed <n>", "seed of weights and batches", seed, 1)
    .option("--split-seed <n>", "seed that chooses the validation documents", seed, 0)
    .option(
      "--training-share <share>",
      "learn from this first share of the training text alone, such as 0.1 (default: all of it)",
      shareOfText,
    )
    .option("--evaluate-every <n>", "steps between evaluations (default: a tenth of the steps)", wholeNumber(1))
    .option("--checkpoint-every <n>", "steps between checkpoints (default: a fifth of the steps)", wholeNumber(1))
    .option(
      "--sample-every <n>",
      "steps between texts that the model writes into samples.txt (default: with --page those between evaluations, else only at the end)",
      wholeNumber(1),
    )
    .option(
      "--alarm <rule=bound:action>",
      `set an alarm: a rule (${alarmNames.join(", ")}), its bound or off, and what to do (${alarmActions.join(", ")}), such as gain=100:stop or spike:rollback; repeatable`,
      (text: string, earlier: readonly AlarmChoice[]) => collect(parseAlarm(text), earlier),
      [] as readonly AlarmChoice[],
    )
    .option("--no-alarms", "raise no alarms; a step that is not finite or a loss that has diverged still stops the run")
    .option("--tensorboard", "also write TensorBoard event files into the run folder")
    .option(
      "--set <path=value>",
      "any other field of the configuration, such as optimizer.clip=0.5; repeatable",
      collect<string>,
      [] as readonly string[],
    )
    .option("--cache <folder>", "where tokenizers and tokens are kept (default: ~/.cache/birkhoff)")
    .option("--page [port]", "show the runs live on a page in the browser (default port: 7333)", portNumber)
    .option("--json", "print every step as it is done, then the result, as JSON lines (docs/terminal.md)");
}

/** Whether an option was given, on the command line or by --config. */
export const isGiven = (command: Command, name: string): boolean =>
  ["cli", CONFIG_SOURCE].includes(command.getOptionValueSource(name) ?? "");

/** The source of options that --config gives. */
export const CONFIG_SOURCE = "config";

/** Refuse options that would have no effect. */
export function expectUnused(command: Command, names: readonly string[], why: string): void {
  for (const option of command.options)
    if (names.includes(option.attributeName()) && isGiven(command, option.attributeName()))
      throw new Error(`${option.long} cannot be used ${why}. Leave it out.`);
}

/** Parse a mesh, such as data=2,pipeline=2. */
export function meshSizes(text: string): Partial<MeshSize> {
  try {
    return parseMesh(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

export const connectionOption: Option = new Option(
  "--connection <kind>",
  "residual connection: a kind, or with options kind:option=value:option=value",
)
  .argParser(parseChoice)
  .default(parseChoice("mhc"), "mhc");
