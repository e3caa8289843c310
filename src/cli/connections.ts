// Question: how does a command line name connections?
//
//   mhc                             a kind with its defaults
//   mhc:residualMap=identity        with one option changed
//   hc:streams=2:dynamic=false      with several options changed
//
// A choice's own options override those that the command gives to all choices (--streams and the like). The
// name of a choice is also the name of its run folder.

import { didYouMean } from "../basics/names.ts";
import { InvalidArgumentError } from "commander";
import {
  type ConnectionConfig,
  type ConnectionKind,
  connectionKind,
  connectionKinds,
  connectionOptions,
} from "../connections/table.ts";
import { parseConnection } from "../model/config.ts";

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
  const kind = connectionKind(name);
  if (kind === undefined)
    throw new InvalidArgumentError(
      `"${name}" is not a connection; use ${connectionKinds.join(", ")}.${didYouMean(name, connectionKinds)}`,
    );
  const options = Object.fromEntries(assignments.map((assignment) => parseOption(kind, assignment)));
  try {
    parseConnection({ kind, ...options });
  } catch (error) {
    throw new InvalidArgumentError(`${text.trim()}: ${(error as Error).message}`);
  }
  return { name: [kind, ...assignments].join("-").replaceAll(/[^\w.=-]/g, "_"), kind, options };
}

/** The text of a choice on the command line, with one field changed. */
export function writeChoice({ kind, options }: ConnectionChoice, field: string, value: unknown): string {
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

function parseOption(kind: ConnectionKind, assignment: string): [string, unknown] {
  const [, name, value] = /^(\w+)=(.+)$/.exec(assignment) ?? [];
  const allowed = connectionOptions(kind);
  if (name === undefined || value === undefined || !allowed.includes(name)) {
    const named = allowed.length === 0 ? `${kind} has no options` : `the options of ${kind} are ${allowed.join(", ")}`;
    throw new InvalidArgumentError(
      `"${assignment}" is not an option=value; ${named}.${didYouMean(name ?? assignment, allowed)}`,
    );
  }
  return [name, parseValue(value)];
}

/** The configuration of a choice. Options in `shared` go to every kind that has them. */
export function connectionOf(
  { kind, options }: ConnectionChoice,
  shared: Readonly<Record<string, unknown>> = {},
): ConnectionConfig {
  const taken = Object.entries(shared).filter(
    ([name, value]) => value !== undefined && connectionOptions(kind).includes(name),
  );
  return parseConnection({ kind, ...Object.fromEntries(taken), ...options });
}

/** A value on the command line: JSON if it parses as such, otherwise text. */
export function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
