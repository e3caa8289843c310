// Question: how does a command line name connections?
//
//   mhc                             a kind with its defaults
//   mhc:residualMap=identity        with one option changed
//   hc:streams=2:dynamic=false      with several options changed
//   mhc:at=0-3.attention+last       in some sublayers, a residual connection elsewhere (model/places.ts)
//
// A choice's own options override those that the command gives to all choices (--streams and the like). The
// name of a choice is also the name of its run folder.

import { given } from "../basics/given.ts";
import { didYouMean } from "../basics/names.ts";
import { InvalidArgumentError } from "commander";
import {
  type ConnectionConfig,
  type ConnectionKind,
  connectionKind,
  connectionKinds,
  connectionOptions,
} from "../connections/table.ts";
import { iteratedMaps } from "../connections/manifolds/table.ts";
import { parseConnection } from "../model/config.ts";
import { connectionAt } from "../model/places.ts";

export interface ConnectionChoice {
  /** The kind, then its options, in characters that suit a file name; unique among choices. */
  readonly name: string;
  readonly kind: ConnectionKind;
  readonly options: Readonly<Record<string, unknown>>;
}

/** What `compare` trains by default. */
export const comparedByDefault: readonly ConnectionChoice[] = ["residual", "hc", "mhc"].map(parseChoice);

/** One connection: kind:option=value:option=value. */
export function parseChoice(text: string): ConnectionChoice {
  const [name, ...assignments] = text.trim().split(":") as [string, ...string[]];
  const kind = kindNamed(name);
  const options = Object.fromEntries(assignments.map((assignment) => parseOption(kind, assignment)));
  expectOptions(text.trim(), kind, options);
  const { residualMap } = options;
  if (
    "iterations" in options &&
    residualMap !== undefined &&
    !(iteratedMaps as readonly unknown[]).includes(residualMap)
  )
    throw new InvalidArgumentError(
      `${text.trim()}: iterations would change nothing: ${String(residualMap)} has none. Leave them out, or take residualMap=${iteratedMaps.join(" or ")}.`,
    );
  return { name: [kind, ...assignments].join("-").replaceAll(/[^\w.=-]/g, "_"), kind, options };
}

/** One connection by its fields, as a configuration has them; all choices of a kind have one name. */
export function choiceOf({ kind: name, ...options }: Readonly<Record<string, unknown>>): ConnectionChoice {
  const kind = kindNamed(name);
  expectOptions(kind, kind, options);
  return { name: kind, kind, options };
}

function kindNamed(name: unknown): ConnectionKind {
  const kind = typeof name === "string" ? connectionKind(name) : undefined;
  if (kind !== undefined) return kind;
  throw new InvalidArgumentError(
    `${JSON.stringify(name) ?? "nothing"} is not a connection; use ${connectionKinds.join(", ")}.${didYouMean(name, connectionKinds)}`,
  );
}

function expectOptions(
  said: string,
  kind: ConnectionKind,
  { at, ...options }: Readonly<Record<string, unknown>>,
): void {
  try {
    const connection = parseConnection({ kind, ...options });
    if (at !== undefined) connectionAt(connection, at);
  } catch (error) {
    throw new InvalidArgumentError(`${said}: ${(error as Error).message}`);
  }
}

/** The text of a choice on the command line, with one field changed where a value is given. */
export function writeChoice({ kind, options }: ConnectionChoice, field = "", value?: unknown): string {
  const changed = value === undefined ? options : { ...options, [field]: value };
  return [kind, ...Object.entries(changed).map(([name, of]) => `${name}=${String(of)}`)].join(":");
}

/** Several different choices, separated by commas. */
export function parseChoices(text: string): ConnectionChoice[] {
  const choices = text.split(",").map(parseChoice);
  const names = choices.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined)
    throw new InvalidArgumentError(
      `${twice} is listed twice. To compare two of one kind, give one of them an option, such as mhc,mhc:residualMap=identity.`,
    );
  return choices;
}

/** The options of a kind, and where it is used, which any kind may have. */
const optionsOf = (kind: ConnectionKind): readonly string[] => [...connectionOptions(kind), "at"];

/** "dense has no options", or which there are. */
export function describeOptions(kind: ConnectionKind): string {
  return connectionOptions(kind).length === 0
    ? `${kind} has no options`
    : `the options of ${kind} are ${optionsOf(kind).join(", ")}`;
}

function parseOption(kind: ConnectionKind, assignment: string): [string, unknown] {
  const [name = "", ...rest] = assignment.split("=");
  const value = rest.join("=");
  const allowed = optionsOf(kind);
  if (!allowed.includes(name))
    throw new InvalidArgumentError(
      `"${assignment}" is not an option=value; ${describeOptions(kind)}.${didYouMean(name, allowed)}`,
    );
  if (value === "")
    throw new InvalidArgumentError(`"${assignment}" gives no value to ${name}. Give one, as in ${name}=value.`);
  return [name, parseValue(value)];
}

/** The configuration of a choice, `at` among its fields. Options in `shared` go to every kind that has them. */
export function connectionOf(
  { kind, options: { at, ...options } }: ConnectionChoice,
  shared: Readonly<Record<string, unknown>> = {},
): ConnectionConfig & { readonly at?: unknown } {
  const taken = Object.entries(shared).filter(
    ([name, value]) => value !== undefined && connectionOptions(kind).includes(name),
  );
  return { ...parseConnection({ kind, ...Object.fromEntries(taken), ...options }), ...given({ at }) };
}

/** A value on the command line: JSON if it parses as such, otherwise text. */
export function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
