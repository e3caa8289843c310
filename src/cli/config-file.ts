// Question: what does --config say, and what of it do the options of the command line change?
//
// A file gives options by their names, in camel case or as on the command line, and fields of the configuration by
// their paths or in groups; the config.json of a run is such a file too. Options of the command line win over it, and
// a path in it is one from where the command runs, as on the command line.

import { type Command, InvalidArgumentError, type Option } from "commander";
import { didYouMean } from "../basics/names.ts";
import { hasEntry, isInherited, isObject } from "../basics/objects.ts";
import { showPlain, showValue } from "../basics/show.ts";
import { readDataFile } from "../files/data-file.ts";
import { reason } from "../files/errors.ts";
import { presets } from "../model/config.ts";
import { fieldOf } from "../runs/sweep/definition.ts";
import { configPaths, currentPath } from "../training/config.ts";
import { choiceOf, type ConnectionChoice, parseChoice, writeChoice } from "./connections.ts";
import { CONFIG_SOURCE } from "./options.ts";
import { isRunConfig, runFields } from "./run-config.ts";

/** A name of an option or a path of a field, and its value. */
type Entry = readonly [key: string, value: unknown];

/** Let a command read its options from a file. */
export function acceptConfig(command: Command): Command {
  return command
    .option("--config <file>", "read options from a JSON or YAML file; options given here win over it (docs/files.md)")
    .hook("preAction", (_, acting) => {
      const file = acting.opts<{ readonly config?: string }>().config;
      if (file === undefined) return;
      const entries = entriesOf(readDataFile(file, "the configuration"), acting, file);
      applyEntries({ command: acting, source: CONFIG_SOURCE, stronger: ["cli"], place: file }, entries);
    });
}

function entriesOf(value: unknown, command: Command, file: string): Entry[] {
  if (!isObject(value))
    throw new Error(
      `${file}: ${showValue(value)} is given; it must be an object of options, such as { "steps": 200 }. birkhoff ${command.name()} --help lists them.`,
    );
  if (isRunConfig(value)) {
    if (!takesFields(command))
      throw new Error(
        `${file} is the configuration of a run, which birkhoff ${command.name()} does not take: birkhoff train and compare do.`,
      );
    return flatten(runFields(value, file, command));
  }
  return flatten(value);
}

/** Groups of fields; "data" is an option too, with a text. */
const groups: ReadonlySet<string> = new Set(["data", "model", "optimizer", "optimizer.schedule", "alarms"]);

function flatten(value: Readonly<Record<string, unknown>>, at = ""): Entry[] {
  return Object.entries(value).flatMap(([key, inner]): Entry[] => {
    if (inner === undefined) return [];
    const name = currentPath(at === "" ? key : `${at}.${key}`);
    if (name === "alarms.rules" && isObject(inner)) return [["alarm", Object.entries(inner).map(alarmText)]];
    return groups.has(name) && isObject(inner) ? flatten(inner, name) : [[name, inner]];
  });
}

/** A rule with its setting as --alarm takes it: gain=100:stop. */
function alarmText([rule, setting]: readonly [string, unknown]): string {
  if (!isObject(setting)) return `${rule}=${String(setting)}`;
  const { bound, action } = setting;
  return `${rule}${bound === undefined ? "" : `=${String(bound)}`}${action === undefined ? "" : `:${String(action)}`}`;
}

/** Whether a command takes any field of a run's configuration. */
const takesFields = (command: Command): boolean => command.options.some(({ long }) => long === "--set");

/** A command that is given options, and which of those that it has are to stay. */
interface Receiver {
  readonly command: Command;
  /** Where the options are said to come from. */
  readonly source: string;
  /** Options that have one of these sources stay. */
  readonly stronger: readonly string[];
  /** For messages. */
  readonly place: string;
}

/**
 * Give a command the fields of a configuration where neither its command line nor --config gives others.
 *
 * @param place where they are from, for messages
 */
export function inherit(command: Command, fields: Readonly<Record<string, unknown>>, place: string): void {
  applyEntries({ command, source: "inherited", stronger: ["cli", CONFIG_SOURCE], place }, flatten(fields));
}

/** @throws Error that names the key, and the nearest of those that there are */
function applyEntries(receiver: Receiver, entries: readonly Entry[]): void {
  const { command, place } = receiver;
  const assignments: string[] = [];
  const named = new Map<string, string>();
  for (const [key, value] of entries) {
    const option = optionOf(command, key);
    const name = option?.attributeName() ?? key;
    const before = named.get(name);
    if (before !== undefined)
      throw new Error(`${place}: ${before} and ${key} are one option. Leave out one of the two.`);
    named.set(name, key);
    if (value === null) throw new Error(`${place}: ${key} has no value. Give one, or leave it out.`);
    const field = option?.attributeName() === "connection" && isMixed(value) ? "model.connection" : key;
    if (option && field === key) applyOption(receiver, option, value, key);
    else if (option || (takesFields(command) && isField(key))) {
      if (!isOverruled(receiver, field)) assignments.push(`${field}=${JSON.stringify(value)}`);
    } else throw unknownKey(command, key, place);
  }
  prepend(receiver, "set", assignments);
}

/** Whether a connection is one for most sublayers and others for some, which is no choice of one kind. */
const isMixed = (value: unknown): boolean => isObject(value) && Object.hasOwn(value, "default");

/** Whether an option has a value that is to stay. */
const stays = ({ command, stronger }: Receiver, name: string): boolean =>
  stronger.includes(command.getOptionValueSource(name) ?? "");

/** The option that a key names, as one word, as on the command line, or by the path of its field. */
function optionOf(command: Command, key: string): Option | undefined {
  const field = takesFields(command) ? fieldOf(key) : key;
  const name = field.includes(".")
    ? hasEntry(optionsOfData, field)
      ? optionsOfData[field]
      : field
    : field.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return command.options.find((option) => option.attributeName() === name && !apart.has(name));
}

/** What only the command line can say. */
const apart: ReadonlySet<string> = new Set(["config", "help", "version"]);

/** Fields of the text with an option of the same name; the others are in the table of a sweep. */
const optionsOfData = {
  "data.extensions": "extensions",
  "data.skipUnreadable": "skipUnreadable",
  "data.column": "column",
  "data.weights": "weights",
  "data.tokenizer": "tokenizer",
} as const;

/** Whether a path is one of a configuration, of a field or of a group; a comparison has connections of its own. */
const isField = (key: string): boolean =>
  fieldOf(key) !== "connection" &&
  !key.split(".").some(isInherited) &&
  configPaths().some((path) => path === key || path.startsWith(`${key}.`));

/** Fields that follow from an option which is to stay: a preset decides all sizes, an optimizer its settings. */
function isOverruled(receiver: Receiver, path: string): boolean {
  const [group, field = ""] = path.split(".");
  if (group === "model") return stays(receiver, field === "connection" ? field : sizes.has(field) ? "preset" : "");
  if (group !== "optimizer") return false;
  return ofAnyOptimizer.has(field) ? field === "schedule" && stays(receiver, field) : stays(receiver, "optimizer");
}
const ofAnyOptimizer: ReadonlySet<string> = new Set(["warmup", "schedule", "clip", "decayed"]);
const sizes: ReadonlySet<string> = new Set(Object.values(presets).flatMap((size) => Object.keys(size)));

/** Whether an option that is to stay says a field, by whatever name. */
function isSaid(receiver: Receiver, path: string): boolean {
  const option = optionOf(receiver.command, path);
  return option === undefined ? isOverruled(receiver, path) : stays(receiver, option.attributeName());
}

function unknownKey(command: Command, key: string, source: string): Error {
  const options = command.options.map((option) => option.attributeName()).filter((name) => !apart.has(name));
  const known = takesFields(command) ? [...options, ...configPaths(), ...groups] : options;
  const near = didYouMean(key, known) || didYouMean(key.split(".").at(-1), known);
  return new Error(
    `${source}: birkhoff ${command.name()} has no option ${takesFields(command) ? "and a run no field " : ""}"${showPlain(key)}".${near || ` birkhoff ${command.name()} --help lists the options.`}`,
  );
}

function applyOption(receiver: Receiver, option: Option, value: unknown, key: string): void {
  const { command, source, place } = receiver;
  const name = option.attributeName();
  const isKept = (other: string): boolean => stays(receiver, other);
  try {
    const given = valueOf(receiver, option, value);
    if (repeatable.has(name)) {
      const all = given as readonly unknown[];
      const wanted = name === "set" ? all.filter((one) => !isSaid(receiver, String(one).split("=")[0]!)) : all;
      if (name !== "alarm" || !isKept("alarms")) prepend(receiver, name, wanted);
    } else if (
      given !== undefined &&
      !isKept(name) &&
      !(source === CONFIG_SOURCE && conflicts(command, option).some(isKept))
    )
      command.setOptionValueWithSource(name, given, source);
  } catch (error) {
    const said = reason(error);
    const what = said.startsWith("It must") ? `${showValue(value)} is given. ${said}` : said;
    throw new Error(`${place}: ${key}: ${what}`, { cause: error });
  }
}

/** What can be given several times adds up; what is stronger comes later, and wins. */
const repeatable: ReadonlySet<string> = new Set(["alarm", "set"]);

function prepend({ command, source }: Receiver, name: string, values: readonly unknown[]): void {
  if (values.length === 0) return;
  const before = (command.getOptionValue(name) ?? []) as readonly unknown[];
  const given = command.getOptionValueSource(name);
  command.setOptionValueWithSource(
    name,
    [...values, ...before],
    given === undefined || given === "default" ? source : given,
  );
}

/** Options that exclude this one, whichever of the two says so. */
function conflicts(command: Command, option: Option): string[] {
  const of = (each: Option): readonly string[] => (each as Option & { conflictsWith?: string[] }).conflictsWith ?? [];
  const name = option.attributeName();
  const others = command.options.filter((each) => of(each).includes(name)).map((each) => each.attributeName());
  return [...of(option), ...others];
}

/** What an option becomes of a value; as on the command line where it is one. */
function valueOf(receiver: Receiver, option: Option, value: unknown): unknown {
  const name = option.attributeName();
  if (option.negate || option.isBoolean()) {
    if (typeof value === "boolean") return value;
    throw new Error(`${showValue(value)} is given; it must be true or false.`);
  }
  if (option.optional && typeof value === "boolean") return value || undefined;
  const parse = (text: string, before?: unknown): unknown => option.parseArg?.(text, before as never) ?? text;
  if (repeatable.has(name)) return textsOf(value).reduce<unknown>((before, text) => parse(text, before), []);
  if (name === "connection" || name === "connections") {
    const parsed = parse(textsOf(value).join());
    const open = (choice: ConnectionChoice): ConnectionChoice => withoutOverruled(receiver, choice);
    return Array.isArray(parsed) ? parsed.map(open) : open(parsed as ConnectionChoice);
  }
  if (option.variadic)
    return textsOf(value).reduce<unknown>((before, text) => parse(text, before), option.defaultValue);
  return parse(textsOf(value).join());
}

/** A choice without the options that the command line gives to all connections. */
function withoutOverruled(receiver: Receiver, choice: ConnectionChoice): ConnectionChoice {
  const options = Object.entries(choice.options).filter(([name]) => !stays(receiver, name));
  return parseChoice(writeChoice({ ...choice, options: Object.fromEntries(options) }));
}

/** A value as it stands on the command line, or each of a list. */
function textsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(textsOf);
  if (isObject(value)) {
    if (Object.hasOwn(value, "kind")) return [writeChoice(choiceOf(value))];
    throw new InvalidArgumentError(`${showValue(value)} is given; it must be one value, or a list of some.`);
  }
  return [String(value)];
}
