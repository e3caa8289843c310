// Question: how does a command line name connections?
//
//   mhc                             a kind with its defaults
//   mhc:residualMap=identity        with an option of its own
//   hc:streams=2:dynamic=false      with several
//
// A model's own options come before those that the command gives to all (--streams and the like). The
// name of a choice is also that of its run folder.

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
  /** Unique among choices: the kind, then its options, fit for a file name. */
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
    throw new InvalidArgumentError(`"${name}" is no connection; there are ${connectionKinds.join(", ")}.`);
  const options = Object.fromEntries(assignments.map((assignment) => parseOption(kind, assignment)));
  try {
    parseConnection({ kind, ...options });
  } catch (error) {
    throw new InvalidArgumentError(`${text.trim()}: ${(error as Error).message}`);
  }
  return { name: [kind, ...assignments].join("-").replaceAll(/[^\w.=-]/g, "_"), kind, options };
}

/** A choice as it is written on a command line, with a field changed. */
export function writeChoice({ kind, options }: ConnectionChoice, field: string, value: unknown): string {
  const changed = value === undefined ? options : { ...options, [field]: value };
  return [kind, ...Object.entries(changed).map(([name, of]) => `${name}=${String(of)}`)].join(":");
}

/** Several, joined by commas, no two alike. */
export function parseChoices(text: string): ConnectionChoice[] {
  const choices = text.split(",").map(parseChoice);
  const names = choices.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined)
    throw new InvalidArgumentError(
      `${twice} is there twice. To compare two of a kind give one an option, such as mhc,mhc:residualMap=identity.`,
    );
  return choices;
}

function parseOption(kind: ConnectionKind, assignment: string): [string, unknown] {
  const [, name, value] = /^(\w+)=(.+)$/.exec(assignment) ?? [];
  const allowed = connectionOptions(kind);
  if (name === undefined || value === undefined || !allowed.includes(name)) {
    const named = allowed.length === 0 ? `${kind} has no options` : `the options of ${kind} are ${allowed.join(", ")}`;
    throw new InvalidArgumentError(`"${assignment}" is no option=value; ${named}.`);
  }
  return [name, parseValue(value)];
}

/** A choice as a configuration; `shared` are the options given to all kinds, each taken by those that have it. */
export function connectionOf(
  { kind, options }: ConnectionChoice,
  shared: Readonly<Record<string, unknown>> = {},
): ConnectionConfig {
  const taken = Object.entries(shared).filter(
    ([name, value]) => value !== undefined && connectionOptions(kind).includes(name),
  );
  return parseConnection({ kind, ...Object.fromEntries(taken), ...options });
}

/** A value on the command line: JSON, or else text. */
export function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
