// Question: which options do the training commands share, and which configuration follows from them?

import path from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { given } from "../basics/given.ts";
import { isInherited, ownEntry, setOwn } from "../basics/objects.ts";
import { MOST_COUNT, MOST_ITERATIONS, MOST_TOKENS } from "../basics/schemas.ts";
import { type MhcConventionName, mhcConventionNames } from "../connections/conventions/table.ts";
import { type InitialisationName, initialisationNames } from "../connections/initialisations.ts";
import { type ResidualMapName, residualMapNames } from "../connections/manifolds/table.ts";
import { textExtensions } from "../data/corpus.ts";
import type { PreparedData } from "../data/prepare.ts";
import { presets, type Preset } from "../model/config.ts";
import { type AlarmName, alarmNames } from "../stability/alarms.ts";
import { alarmActions, type AlarmsConfig, type AlarmSetting } from "../training/alarms.ts";
import { currentPath, parseTrainingConfig, type RecomputeConfig, type TrainingConfig } from "../training/config.ts";
import { type RuntimeChoice, runtimeChoices } from "../runtime/open.ts";
import { type ConnectionChoice, connectionOf, parseChoice, parseValue } from "./connections.ts";

/** A whole number that is no less than `minimum` and no more than `most`. */
export function wholeNumber(minimum: number, most: number = MOST_COUNT): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isInteger(value) || value < minimum || value > most)
      throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${most}.`);
    return value;
  };
}

/** Any whole number that JavaScript holds exactly. */
export const seed: (text: string) => number = wholeNumber(0, Number.MAX_SAFE_INTEGER);

/** A finite number above zero. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0) || value === Number.POSITIVE_INFINITY)
    throw new InvalidArgumentError("It must be a finite number above 0.");
  return value;
}

/** Endings of files, separated by commas: .txt,.py or * for all. */
export function fileExtensions(text: string): string[] {
  const given = text.split(",").map((one) => one.trim());
  if (given.some((one) => !/^\*$|^\.?[^./\\\s*]+$/.test(one)))
    throw new InvalidArgumentError(
      "It must be endings of files, separated by commas, such as .txt,.py; '*' means all.",
    );
  return given.map((one) => (one === "*" || one.startsWith(".") ? one : `.${one}`).toLowerCase());
}

export function portNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 65_535)
    throw new InvalidArgumentError("It must be a whole number from 0 to 65535.");
  return value;
}

/** none, auto or a number of sublayers. */
export function recomputation(text: string): RecomputeConfig {
  if (text === "none" || text === "auto") return text;
  const value = Number(text);
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

/** --runtime, and how it uses the processor. */
export function machineOptions(command: Command): Command {
  return runtimeOption(command)
    .option("--threads <n>", "threads (default: all cores)", wholeNumber(1, 256))
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
  readonly data: string;
  readonly extensions?: readonly string[];
  readonly skipUnreadable?: boolean;
  readonly preset: Preset;
  readonly vocabulary: number;
  readonly steps: number;
  readonly batch: number;
  readonly accumulate: number;
  readonly context?: number;
  readonly recompute?: RecomputeConfig;
  readonly learningRate: number;
  readonly warmup?: number;
  readonly schedule: "step" | "cosine" | "constant";
  readonly streams: number;
  readonly iterations: number;
  readonly residualMap?: ResidualMapName;
  readonly convention?: MhcConventionName;
  readonly initialisation?: InitialisationName;
  readonly seed: number;
  readonly splitSeed: number;
  readonly evaluateEvery?: number;
  readonly checkpointEvery?: number;
  readonly alarm: readonly AlarmChoice[];
  /** false after --no-alarms. */
  readonly alarms: boolean;
  readonly tensorboard?: boolean;
  readonly set: readonly string[];
  readonly cache?: string;
  readonly page?: number | true;
  readonly json?: boolean;
}

/** What the command line sets for one rule. */
type AlarmChoice = readonly [rule: AlarmName, setting: "off" | AlarmSetting];

/** gain, gain=100, gain:stop, gain=100:rollback or gain=off. */
export function parseAlarm(text: string): AlarmChoice {
  const [, name = "", bound, action] = /^([^=:]*)(?:=([^:]*))?(?::(.*))?$/.exec(text) ?? [];
  const rule = alarmNames.find((known) => known === name);
  if (!rule) throw new InvalidArgumentError(`"${name}" is not a rule; use ${alarmNames.join(", ")}.`);
  if (bound === "off" && action === undefined) return [rule, "off"];
  const number = Number(bound);
  if (bound !== undefined && (bound.trim() === "" || !(number >= 0) || number === Number.POSITIVE_INFINITY))
    throw new InvalidArgumentError(`The bound of ${rule} is "${bound}"; it must be off or a number of at least 0.`);
  if (rule === "saturation" && number >= 1)
    throw new InvalidArgumentError(
      `The bound of saturation is ${bound}, but |λ₂| never exceeds 1; give a bound below 1, such as 0.995.`,
    );
  const known = alarmActions.find((each) => each === action);
  if (action !== undefined && !known)
    throw new InvalidArgumentError(`"${action}" is not an action; use ${alarmActions.join(", ")}.`);
  return [rule, given({ bound: bound === undefined ? undefined : number, action: known })];
}

/** Rules that --no-alarms leaves on: without them a run that has gone wrong would go on for ever. */
const alwaysOn: ReadonlySet<AlarmName> = new Set(["not-finite", "diverged"]);

function alarmsFrom({ alarm, alarms }: TrainingOptions): AlarmsConfig | undefined {
  const silent = alarms ? [] : alarmNames.filter((name) => !alwaysOn.has(name)).map((name) => [name, "off"] as const);
  const rules = Object.fromEntries([...silent, ...alarm]);
  return Object.keys(rules).length > 0 ? { rules } : undefined;
}

export function trainingOptions(command: Command): Command {
  const collect = <T>(value: T, earlier: readonly T[]): T[] => [...earlier, value];
  return memoryOption(machineOptions(command), "training")
    .option(
      "--data <source>",
      "sotu (State of the Union addresses), a text file, a folder, or - for standard input",
      "sotu",
    )
    .option(
      "--extensions <list>",
      `of a folder: endings of the files to read, separated by commas; '*' for all (default: ${textExtensions.join()})`,
      fileExtensions,
    )
    .option("--skip-unreadable", "of a folder: leave out files that are not UTF-8 text, and say how many")
    .addOption(new Option("--preset <size>", "model size").choices(Object.keys(presets)).default("nano"))
    .option("--vocabulary <n>", "largest vocabulary of the tokenizer", wholeNumber(257, MOST_TOKENS), 1024)
    .option("--steps <n>", "training steps", wholeNumber(1), 700)
    .option("--batch <n>", "sequences in a batch", wholeNumber(1), 16)
    .option("--accumulate <n>", "batches whose gradients are averaged before an update", wholeNumber(1), 1)
    .option(
      "--recompute <n>",
      "save memory: store the state every n sublayers and compute the rest again; auto: the n that needs least memory (default: none)",
      recomputation,
    )
    .option("--context <n>", "tokens in a sequence (default: the preset's)", wholeNumber(1, MOST_TOKENS))
    .option("--learning-rate <rate>", "highest learning rate", positiveNumber, 2e-3)
    .option("--warmup <n>", "steps over which the learning rate rises (default: 5 % of the steps)", wholeNumber(0))
    .addOption(
      new Option(
        "--schedule <kind>",
        "how the learning rate falls; step is the mHC paper's: x 0.316 at 80 %, x 0.1 at 90 %",
      )
        .choices(["step", "cosine", "constant"])
        .default("step"),
    )
    .option("--streams <n>", "streams of HC, mHC and the gated residual", wholeNumber(1, 32), 4)
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
    .option("--evaluate-every <n>", "steps between evaluations (default: a tenth of the steps)", wholeNumber(1))
    .option("--checkpoint-every <n>", "steps between checkpoints (default: a fifth of the steps)", wholeNumber(1))
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
    .option("--json", "print results as JSON lines");
}

/** Options that a resumed run still takes. Its configuration fixes all others. */
const RESUMED = ["recompute", "memory", "tensorboard", "page", "runtime", "threads", "revectorise", "cache", "json"];

/** Options that change a resumed run from its checkpoint on, and their fields of the configuration. */
const CHANGED = {
  steps: "steps",
  learningRate: "optimizer.learningRate",
  evaluateEvery: "evaluateEvery",
  checkpointEvery: "checkpointEvery",
} as const;

/** Refuse options that a resumed run takes from its configuration. `own` are the command's own options. */
export function expectResumable(command: Command, own: readonly string[]): void {
  const fixed = trainingOptions(new Command()).options.map((option) => option.attributeName());
  const may = new Set([...RESUMED, ...Object.keys(CHANGED), "set"]);
  const refused = [...fixed.filter((name) => !may.has(name)), ...own];
  expectUnused(command, refused, "with --resume, because the run's configuration fixes it");
}

/** The configuration of a resumed run with what the command line changes of it, and the fields that it names. */
export function changedConfig(
  saved: TrainingConfig,
  options: TrainingOptions,
  command: Command,
): { readonly config: TrainingConfig; readonly changed: readonly string[] } {
  const given = (Object.keys(CHANGED) as (keyof typeof CHANGED)[]).filter(
    (name) => command.getOptionValueSource(name) === "cli",
  );
  const assignments = [
    ...given.map((name) => `${CHANGED[name]}=${JSON.stringify(options[name])}`),
    ...options.set,
    ...(options.recompute === undefined ? [] : [`recompute=${JSON.stringify(options.recompute)}`]),
  ];
  const config = structuredClone(saved) as unknown as Record<string, unknown>;
  for (const assignment of assignments) assign(config, assignment);
  return {
    config: parseTrainingConfig(config, "The configuration of the run with these changes"),
    changed: assignments.map((assignment) => assignment.slice(0, assignment.indexOf("="))),
  };
}

/** Refuse options that would have no effect. */
export function expectUnused(command: Command, names: readonly string[], why: string): void {
  for (const option of command.options)
    if (names.includes(option.attributeName()) && command.getOptionValueSource(option.attributeName()) === "cli")
      throw new Error(`${option.long} cannot be used ${why}. Leave it out.`);
}

/** The AdamW settings of the mHC paper (Table 5), for presets built like its models. */
const PAPER_OPTIMIZER = { beta1: 0.9, beta2: 0.95, epsilon: 1e-20, weightDecay: 0.1 } as const;

/** What a configuration takes from the prepared data. */
type DataFacts = {
  readonly summary: Pick<PreparedData["summary"], "folder">;
  readonly train: { readonly origin: Pick<PreparedData["train"]["origin"], "text"> };
  readonly tokenizer: Pick<PreparedData["tokenizer"], "vocabularySize">;
};

/**
 * Refuse what no text can make right, before the text is read.
 *
 * @throws Error as `configFrom` does
 */
export function checkConfig(options: TrainingOptions, choice: ConnectionChoice, name: string): void {
  const tokenizer = { vocabularySize: options.vocabulary };
  configFrom(options, choice, name, { summary: { folder: "." }, train: { origin: { text: "" } }, tokenizer });
}

/** The configuration that a command line asks for, given prepared data. */
export function configFrom(
  options: TrainingOptions,
  choice: ConnectionChoice,
  name: string,
  data: DataFacts,
): TrainingConfig {
  // An option that was not given stays out of the configuration, as in runs that are older than the option.
  const { streams, iterations, residualMap, convention, initialisation, steps } = options;
  const connection = connectionOf(choice, { streams, iterations, residualMap, convention, initialisation });
  const size = presets[options.preset];
  const config: Record<string, unknown> = {
    name,
    seed: options.seed,
    data: {
      source: options.data,
      vocabulary: options.vocabulary,
      splitSeed: options.splitSeed,
      ...given({ extensions: options.extensions, skipUnreadable: options.skipUnreadable }),
      prepared: { folder: path.resolve(data.summary.folder), text: data.train.origin.text },
    },
    model: {
      ...size,
      context: options.context ?? size.context,
      vocabulary: data.tokenizer.vocabularySize,
      connection,
    },
    batch: options.batch,
    accumulate: options.accumulate,
    ...given({ recompute: options.recompute }),
    steps,
    optimizer: {
      learningRate: options.learningRate,
      warmup: options.warmup ?? Math.ceil(steps / 20),
      schedule: { kind: options.schedule },
      ...(size.feedForward ? PAPER_OPTIMIZER : {}),
    },
    evaluateEvery: options.evaluateEvery ?? Math.ceil(steps / 10),
    checkpointEvery: options.checkpointEvery ?? Math.ceil(steps / 5),
  };
  const alarms = alarmsFrom(options);
  if (alarms) config.alarms = alarms;
  const paths = new Map<string, string>();
  for (const assignment of options.set) {
    const written = assignment.split("=")[0]!;
    const other = paths.get(currentPath(written));
    if (other !== undefined && other !== written)
      throw new Error(`--set gives one field by two names, ${other} and ${written}. Leave out one of the two.`);
    paths.set(currentPath(written), written);
    const field = assignment.split("=")[0]!;
    if (/^(name|data|model\.vocabulary)(\.|$)/.test(field))
      throw new Error(
        `--set cannot change ${field}, because it is fixed before the configuration is made. Use --out, --data, --vocabulary or --split-seed.`,
      );
    assign(config, assignment);
  }
  return parseTrainingConfig(config, "The configuration made from these options");
}

/** Set a field by its path: optimizer.clip=0.5. A value that is not JSON is text. */
function assign(config: Record<string, unknown>, assignment: string): void {
  const equals = assignment.indexOf("=");
  if (equals < 1) throw new Error(`--set needs path=value, such as --set optimizer.clip=0.5; got "${assignment}".`);
  const path = currentPath(assignment.slice(0, equals));
  const keys = path.split(".");
  const foreign = keys.find(isInherited);
  if (foreign !== undefined)
    throw new Error(`--set ${path}: no field of a run is called "${foreign}". Take a path such as optimizer.clip.`);
  let target = config;
  for (const key of keys.slice(0, -1)) {
    // A copy: what a preset shares with other configurations must stay as it is.
    const next = ownEntry(target, key) ?? {};
    if (typeof next !== "object") throw new Error(`--set ${assignment}: "${key}" is a value, not a group of fields.`);
    const copy = Array.isArray(next) ? [...(next as unknown[])] : { ...next };
    setOwn(target, key, copy);
    target = copy;
  }
  setOwn(target, keys.at(-1)!, parseValue(assignment.slice(equals + 1)));
}

export const connectionOption: Option = new Option(
  "--connection <kind>",
  "residual connection: a kind, or with options kind:option=value:option=value",
)
  .argParser(parseChoice)
  .default(parseChoice("mhc"), "mhc");
