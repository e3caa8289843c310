// Question: what can be shown of a run folder, whatever state it is in?
//
// For reports and pages: a folder may be of a run under way, of a killed one, of an older version, or
// damaged, and one bad line must not hide the rest. Nothing here throws; what could not be read is said
// in `problems`. Writers and resumed runs use training/run-folder.ts, which is strict.

import fs from "node:fs";
import path from "node:path";
import { reason } from "../data/files.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/run-folder.ts";

/** What is in a run folder, as far as it can be read. */
export interface RunData {
  readonly folder: string;
  /** The folder's own name. */
  readonly name: string;
  /** Undefined when config.json is missing or not valid. */
  readonly config: TrainingConfig | undefined;
  readonly versions: Readonly<Record<string, string>>;
  readonly metrics: readonly MetricRecord[];
  readonly gains: readonly GainRecord[];
  readonly events: readonly EventRecord[];
  /** Text of samples.txt. */
  readonly samples: string;
  /** Steps of the checkpoints, ascending. */
  readonly checkpoints: readonly number[];
  /** One line for everything that could not be read. */
  readonly problems: readonly string[];
}

/** Files larger than this are not read: no run of this library comes near. */
const LARGEST_FILE = 1 << 30;

/** Read a run folder without locking it and without ever throwing. */
export function readRunData(folder: string): RunData {
  const problems: string[] = [];
  const read = (name: string, required = false): string => {
    const file = path.join(folder, name);
    try {
      if (fs.statSync(file).size > LARGEST_FILE) throw new Error("it is larger than 1 GiB");
      return fs.readFileSync(file, "utf8");
    } catch (error) {
      if (required || (error as NodeJS.ErrnoException).code !== "ENOENT") problems.push(`${name}: ${reason(error)}`);
      return "";
    }
  };
  const description = parseObject(read("config.json", true), "config.json", problems);
  const records = <R extends { step: number }>(name: string): R[] => parseRecords<R>(read(name), name, problems);
  return {
    folder,
    name: path.basename(path.resolve(folder)),
    config: configOf(description, problems),
    versions: stringsOf(description?.versions),
    metrics: records("metrics.jsonl"),
    gains: records("gains.jsonl"),
    events: records("events.jsonl"),
    samples: read("samples.txt"),
    checkpoints: checkpointSteps(folder),
    problems,
  };
}

function configOf(description: Record<string, unknown> | undefined, problems: string[]): TrainingConfig | undefined {
  if (!description) return undefined;
  try {
    return parseTrainingConfig(description.config, "config.json");
  } catch (error) {
    problems.push(reason(error));
    return undefined;
  }
}

function parseObject(text: string, name: string, problems: string[]): Record<string, unknown> | undefined {
  if (text === "") return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
    problems.push(`${name}: it does not hold an object`);
  } catch (error) {
    problems.push(`${name}: ${reason(error)}`);
  }
  return undefined;
}

/** The records of whole, sound lines, in order of steps; a later record of a step replaces an earlier one. */
function parseRecords<R extends { step: number }>(text: string, name: string, problems: string[]): R[] {
  const bySteps = new Map<number, R>();
  const several: R[] = [];
  const lines = text.split("\n");
  // A line without its end is still being written, or was cut by a kill.
  lines.pop();
  lines.forEach((line, index) => {
    try {
      const value: unknown = JSON.parse(line, revive);
      if (!isObject(value) || !Number.isSafeInteger(value.step)) throw new Error("no record with a step");
      if (name === "events.jsonl") several.push(value as unknown as R);
      else bySteps.set(value.step as number, value as unknown as R);
    } catch (error) {
      problems.push(`${name}, line ${index + 1}: ${reason(error)}`);
    }
  });
  return [...several, ...bySteps.values()].sort((a, b) => a.step - b.step);
}

/** What is not finite is written as text, which JSON has no number for. */
const NOT_FINITE: Readonly<Record<string, number>> = { NaN, Infinity, "-Infinity": -Infinity };

function revive(_: string, value: unknown): unknown {
  return typeof value === "string" && Object.hasOwn(NOT_FINITE, value) ? NOT_FINITE[value] : value;
}

function checkpointSteps(folder: string): number[] {
  let names: string[];
  try {
    names = fs.readdirSync(path.join(folder, "checkpoints"));
  } catch {
    return [];
  }
  return names
    .flatMap((name) => /^step-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

function stringsOf(value: unknown): Record<string, string> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
