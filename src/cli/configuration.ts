// Question: which configuration do the options of a training command ask for?
//
// That of a new run is made of all options and the prepared text; that of a resumed run is its own, with what the
// command line changes of it.

import path from "node:path";
import { Command } from "commander";
import { given } from "../basics/given.ts";
import { isInherited, ownEntry, setOwn } from "../basics/objects.ts";
import type { PreparedData } from "../data/prepared-files.ts";
import { iteratedMaps } from "../connections/manifolds/table.ts";
import { connectionKinds, connectionOptions } from "../connections/table.ts";
import { sublayerConnections } from "../model/overrides.ts";
import { type AlarmName, alarmNames } from "../stability/alarms.ts";
import { type AlarmsConfig, silentAlarms } from "../training/alarms.ts";
import { configPaths, currentPath, parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { optimizerEntry, type OptimizerKind, optimizerKinds, paperSettings } from "../training/optimizers/table.ts";
import { type ConnectionChoice, connectionOf, describeOptions, parseValue, writeChoice } from "./connections.ts";
import { expectUnused, isGiven, sourceOf, trainingOptions, type TrainingOptions } from "./options.ts";

/** Options of connections that the command gives to every choice whose kind has them. */
const sharedOptions = ["streams", "iterations", "residualMap", "convention", "initialisation"] as const;

/** Options that change a resumed run from its checkpoint on, and their fields of the configuration. */
const CHANGED = {
  steps: "steps",
  learningRate: "optimizer.learningRate",
  evaluateEvery: "evaluateEvery",
  checkpointEvery: "checkpointEvery",
  sampleEvery: "sampleEvery",
  precision: "precision",
} as const;

/** What a configuration takes from the prepared data. */
type DataFacts = Pick<PreparedData, "mixture" | "generated"> & {
  readonly summary: Pick<PreparedData["summary"], "folder">;
  readonly train: { readonly origin: Pick<PreparedData["train"]["origin"], "text"> };
  readonly tokenizer: Pick<PreparedData["tokenizer"], "vocabularySize">;
};

/**
 * Refuse what no text can make right, before the text is read.
 *
 * @param vocabularySize of the tokenizer, where it is known before the text
 * @throws Error as `configFrom` does
 */
export function checkConfig(
  options: TrainingOptions,
  choice: ConnectionChoice,
  name: string,
  vocabularySize: number = options.vocabulary,
): TrainingConfig {
  const tokenizer = { vocabularySize };
  return configFrom(options, choice, name, { summary: { folder: "." }, train: { origin: { text: "" } }, tokenizer });
}

/** Whether an option is given for the connections at hand: a file's is for the file's own. */
const isMeant = (command: Command, name: string): boolean =>
  command.getOptionValueSource(name) === "cli" ||
  (isGiven(command, name) && !["connection", "connections"].some((one) => command.getOptionValueSource(one) === "cli"));

/**
 * Refuse options that were given and change none of the models.
 *
 * @param models the configuration of each choice
 */
export function expectEffect(
  command: Command,
  { alarm, set }: Pick<TrainingOptions, "alarm" | "set">,
  choices: readonly ConnectionChoice[],
  models: readonly TrainingConfig[],
): void {
  const kinds = [...new Set(choices.map(({ kind }) => kind))];
  for (const option of command.options) {
    const name = option.attributeName();
    if (!(sharedOptions as readonly string[]).includes(name) || !isMeant(command, name)) continue;
    const having = choices.filter(({ kind }) => connectionOptions(kind).includes(name));
    if (having.length === 0)
      throw new Error(
        `${option.long} would change nothing: ${kinds.map(describeOptions).join("; ")}. Leave it out, or take a connection that has it: ${connectionKinds.filter((kind) => connectionOptions(kind).includes(name)).join(", ")}.`,
      );
    if (having.every(({ options }) => Object.hasOwn(options, name)))
      throw new Error(
        `${option.long} would change nothing: ${having.map((choice) => writeChoice(choice)).join(" and ")} ${having.length === 1 ? "says" : "say"} ${name} already. Leave out one of the two.`,
      );
  }
  expectIterated(command, set, models);
  expectOnce(command, set);
  for (const [rule, setting] of alarm)
    if (setting !== "off" && models.every(({ model }) => silentAlarms(model).includes(rule)))
      throw new Error(
        `--alarm ${rule} would never speak: ${kinds.join(", ")} ${kinds.length === 1 ? "has" : "have"} nothing that it measures. Leave it out, or take a connection that has, such as mhc.`,
      );
}

/** Refuse iterations that none of the residual maps makes. */
function expectIterated(command: Command, set: readonly string[], models: readonly TrainingConfig[]): void {
  const said = isMeant(command, "iterations")
    ? "--iterations"
    : set.find((assignment) => fieldOf(assignment) === ITERATIONS);
  const maps = models.flatMap(({ model }) =>
    sublayerConnections(model).flatMap((each) => (each.kind === "mhc" ? [each.residualMap ?? "sinkhorn"] : [])),
  );
  if (said === undefined || maps.length === 0 || maps.some((map) => iteratedMaps.includes(map))) return;
  throw new Error(
    `${said} would change nothing: ${[...new Set(maps)].join(" and ")} has no iterations. Leave it out, or take --residual-map ${iteratedMaps.join(" or ")}.`,
  );
}

const ITERATIONS = "model.connection.iterations";

/** The field that a --set names. */
const fieldOf = (assignment: string): string => currentPath(assignment.split("=")[0]!);

/** Options that are fields of the configuration under the same name, or under another. */
const fieldOfOption: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ["seed", "batch", "accumulate", "precision", "recompute", "sharded", "reducePrecision"].map((name) => [name, name]),
  ),
  optimizer: "optimizer.kind",
  warmup: "optimizer.warmup",
  schedule: "optimizer.schedule.kind",
  context: "model.context",
  ...Object.fromEntries(sharedOptions.map((name) => [name, `model.connection.${name}`])),
  ...CHANGED,
};

/** Refuse a field that is given by its option and by --set: one of the two would change nothing. */
function expectOnce(command: Command, set: readonly string[]): void {
  const fields = new Set(set.map(fieldOf));
  for (const option of command.options) {
    const name = option.attributeName();
    const field = ownEntry(fieldOfOption, name);
    if (field !== undefined && command.getOptionValueSource(name) === "cli" && fields.has(field))
      throw new Error(`${option.long} and --set ${field} give one field twice. Leave out one of the two.`);
  }
}

/** The configuration that a command line asks for, given prepared data. */
export function configFrom(
  options: TrainingOptions,
  choice: ConnectionChoice,
  name: string,
  data: DataFacts,
): TrainingConfig {
  // An option that was not given stays out of the configuration, as in runs that are older than the option.
  const { steps } = options;
  const evaluateEvery = options.evaluateEvery ?? Math.ceil(steps / 10);
  const connection = connectionOf(choice, Object.fromEntries(sharedOptions.map((name) => [name, options[name]])));
  const { size } = options.preset;
  const optimizer = optimizerOf(options);
  const config: Record<string, unknown> = {
    name,
    seed: options.seed,
    data: {
      source: sourceOf(options.data),
      vocabulary: options.vocabulary,
      splitSeed: options.splitSeed,
      ...given({
        extensions: options.extensions,
        skipUnreadable: options.skipUnreadable,
        column: options.column,
        weights: options.weights,
        tokenizer: options.tokenizer,
        trainingShare: options.trainingShare,
        shuffled: data.mixture && true,
        loss: data.generated && ("answers" as const),
      }),
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
    ...given({
      precision: options.precision,
      recompute: options.recompute,
      sharded: options.sharded,
      reducePrecision: options.reducePrecision,
    }),
    steps,
    optimizer: {
      // AdamW is not named, as in runs that are older than the choice.
      ...given({ kind: options.optimizer === "adamw" ? undefined : options.optimizer }),
      learningRate: options.learningRate ?? optimizerEntry(optimizer).usual.learningRate,
      warmup: options.warmup ?? Math.ceil(steps / 20),
      schedule: { kind: options.schedule },
      ...(size.feedForward ? paperSettings(optimizer) : {}),
    },
    evaluateEvery,
    checkpointEvery: options.checkpointEvery ?? Math.ceil(steps / 5),
    ...given({ sampleEvery: options.sampleEvery ?? (options.page === undefined ? undefined : evaluateEvery) }),
  };
  const alarms = alarmsFrom(options);
  if (alarms) config.alarms = alarms;
  const paths = new Map<string, string>();
  for (const assignment of options.set) {
    const field = assignment.split("=")[0]!;
    const other = paths.get(currentPath(field));
    if (other !== undefined && other !== field)
      throw new Error(`--set gives one field by two names, ${other} and ${field}. Leave out one of the two.`);
    paths.set(currentPath(field), field);
    if (/^(name|data|model\.vocabulary)(\.|$)/.test(field))
      throw new Error(
        `--set cannot change ${field}, because it is fixed before the configuration is made. Use --out, --data, --vocabulary or --split-seed.`,
      );
    assign(config, assignment);
  }
  return parseTrainingConfig(config, "The configuration made from these options");
}

/** The optimizer that the options name, by its option or by --set; a wrong name is told of with the configuration. */
function optimizerOf({ optimizer, set }: Pick<TrainingOptions, "optimizer" | "set">): OptimizerKind | undefined {
  const assigned = set.findLast((assignment) => fieldOf(assignment) === "optimizer.kind");
  const named = assigned === undefined ? optimizer : parseValue(assigned.slice(assigned.indexOf("=") + 1));
  return optimizerKinds.find((kind) => kind === named);
}

/** Set a field by its path: optimizer.clip=0.5. A value that is not JSON is text; null leaves the field out. */
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
  const value = parseValue(assignment.slice(equals + 1));
  // Of a field that there is not the null stays, and is refused with the nearest that there is.
  if (value === null && isField(path)) delete target[keys.at(-1)!];
  else setOwn(target, keys.at(-1)!, value);
}

/** Whether a configuration may have such a field, or group of fields. */
const isField = (path: string): boolean =>
  configPaths().some((known) => known === path || known.startsWith(`${path}.`));

/** Rules that --no-alarms leaves on: without them a run that has gone wrong would go on for ever. */
const alwaysOn: ReadonlySet<AlarmName> = new Set(["not-finite", "diverged"]);

function alarmsFrom({ alarm, alarms }: TrainingOptions): AlarmsConfig | undefined {
  const silent = alarms ? [] : alarmNames.filter((name) => !alwaysOn.has(name)).map((name) => [name, "off"] as const);
  const rules = Object.fromEntries([...silent, ...alarm]);
  return Object.keys(rules).length > 0 ? { rules } : undefined;
}

/** Options that a resumed run still takes. Its configuration fixes all others. */
const RESUMED = [
  "recompute",
  "sharded",
  "memory",
  "tensorboard",
  "page",
  "runtime",
  "threads",
  "revectorise",
  "cache",
  "json",
];

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
  const given = (Object.keys(CHANGED) as (keyof typeof CHANGED)[]).filter((name) => isGiven(command, name));
  expectOnce(command, options.set);
  const assignments = [
    ...given.map((name) => `${CHANGED[name]}=${JSON.stringify(options[name])}`),
    ...options.set,
    ...(["recompute", "sharded"] as const).flatMap((name) =>
      options[name] === undefined ? [] : [`${name}=${JSON.stringify(options[name])}`],
    ),
  ];
  const config = structuredClone(saved) as unknown as Record<string, unknown>;
  for (const assignment of assignments) assign(config, assignment);
  return {
    config: parseTrainingConfig(config, "The configuration of the run with these changes"),
    changed: assignments.map((assignment) => assignment.slice(0, assignment.indexOf("="))),
  };
}
