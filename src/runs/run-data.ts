// Question: what can be shown of a run folder, whatever state it is in?
//
// For reports and pages: a folder may be of a run under way, of a killed one, of an older version, or
// damaged, and one bad line must not hide the rest. Nothing here throws; what could not be read is said
// in `problems`. Writers and resumed runs use runs/run-folder.ts, which is strict.

import { showMany } from "../basics/show.ts";
import fs from "node:fs";
import path from "node:path";
import { hasCode, reason } from "../files/errors.ts";
import { parseJson } from "../files/json.ts";
import { parseTrainingConfig, type TrainingConfig, withOlderMeanings } from "../training/config.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/records.ts";
import { isNetConfig, type NetConfig, parseNetConfig } from "../training/net-config.ts";
import { given } from "../basics/given.ts";
import { isObject } from "../basics/objects.ts";
import { type ConfigChange, parseChanges } from "./identity.ts";
import { type InterventionsData, soundInterventions } from "./interventions-data.ts";
import { names } from "./names.ts";
import { type ReasoningData, soundReasoning } from "./reasoning-data.ts";
import { type RobustnessData, soundRobustness } from "./robustness-data.ts";
import { parseRecord, type RecordFiles, together } from "./record-shapes.ts";
import { MOST_OF_RECORDS, readText } from "../files/read.ts";

/** What is in a run folder, as far as it can be read. */
export interface RunData {
  readonly folder: string;
  /** The folder's own name. */
  readonly name: string;
  /** Undefined when config.json is missing or not valid. */
  readonly config: TrainingConfig | undefined;
  /** Of a run of `trainNet`, which has no `config`: how the network was trained. */
  readonly net?: NetConfig;
  /** What resumes have changed of the configuration, oldest first. */
  readonly changes: readonly ConfigChange[];
  readonly versions: Readonly<Record<string, string>>;
  readonly metrics: readonly MetricRecord[];
  /** With their matrices, whichever file they are in. */
  readonly gains: readonly GainRecord[];
  readonly events: readonly EventRecord[];
  /** Text of samples.txt. */
  readonly samples: string;
  readonly interventions: InterventionsData | undefined;
  /** Absent where nothing was asked. */
  readonly reasoning?: ReasoningData;
  /** Absent where nothing was disturbed. */
  readonly robustness?: RobustnessData;
  /** Steps of the checkpoints, ascending. */
  readonly checkpoints: readonly number[];
  /** One line for everything that could not be read. */
  readonly problems: readonly string[];
}

/** Read a run folder without locking it and without ever throwing. */
export function readRunData(folder: string): RunData {
  const problems: string[] = [];
  const read = (name: string, required = false): string => {
    const file = path.join(folder, name);
    try {
      return readText(file, MOST_OF_RECORDS);
    } catch (error) {
      if (required || !hasCode(error, "ENOENT")) problems.push(`${name}: ${reason(error)}`);
      return "";
    }
  };
  const description = parseObject(read("config.json", true), "config.json", problems);
  const records = <F extends keyof RecordFiles>(name: F): RecordFiles[F][] => parseRecords(read(name), name, problems);
  return {
    folder,
    name: path.basename(path.resolve(folder)),
    config: configOf(description, problems),
    ...given({ net: netOf(description, problems) }),
    changes: changesOf(description, problems),
    versions: stringsOf(description?.versions),
    metrics: records("metrics.jsonl"),
    gains: together(records("gains.jsonl"), records("mixing.jsonl"), (step, fields) =>
      problems.push(`mixing.jsonl, step ${step}: not of as many sublayers as gains.jsonl: ${fields.join(", ")}`),
    ),
    events: records("events.jsonl"),
    samples: read("samples.txt"),
    interventions: tableOf(read(names.interventions), names.interventions, soundInterventions, problems),
    ...given({
      reasoning: tableOf(read(names.reasoning), names.reasoning, soundReasoning, problems),
      robustness: tableOf(read(names.robustness), names.robustness, soundRobustness, problems),
    }),
    checkpoints: checkpointSteps(folder),
    problems,
  };
}

function configOf(description: Record<string, unknown> | undefined, problems: string[]): TrainingConfig | undefined {
  if (!description || isNetConfig(description.config)) return undefined;
  try {
    return parseTrainingConfig(withOlderMeanings(description.config), "config.json");
  } catch (error) {
    problems.push(reason(error));
    return undefined;
  }
}

function netOf(description: Record<string, unknown> | undefined, problems: string[]): NetConfig | undefined {
  if (!isNetConfig(description?.config)) return undefined;
  try {
    return parseNetConfig(description?.config, "config.json");
  } catch (error) {
    problems.push(reason(error));
    return undefined;
  }
}

function changesOf(description: Record<string, unknown> | undefined, problems: string[]): readonly ConfigChange[] {
  try {
    return parseChanges(description?.changes);
  } catch (error) {
    problems.push(`config.json: ${reason(error)}`);
    return [];
  }
}

/** The sound part of a table in a file of its own. */
function tableOf<T>(text: string, name: string, sound: (value: unknown) => T, problems: string[]): T | undefined {
  const value = parseObject(text, name, problems);
  if (!value) return undefined;
  try {
    return sound(value);
  } catch (error) {
    problems.push(`${name}: ${reason(error)}`);
    return undefined;
  }
}

function parseObject(text: string, name: string, problems: string[]): Record<string, unknown> | undefined {
  if (text === "") return undefined;
  try {
    const value = parseJson(text);
    if (isObject(value)) return value;
    problems.push(`${name}: it does not hold an object`);
  } catch (error) {
    problems.push(`${name}: ${reason(error)}`);
  }
  return undefined;
}

/** So many lines of a file are named when they are not sound; of the others it is said how many they are. */
const NAMED_LINES = 5;

/** The records of whole, sound lines, in order of steps; a later record of a step replaces an earlier one. */
function parseRecords<F extends keyof RecordFiles>(text: string, name: F, problems: string[]): RecordFiles[F][] {
  const bySteps = new Map<number, RecordFiles[F]>();
  const several: RecordFiles[F][] = [];
  const found: string[] = [];
  const lines = text.split("\n");
  // A line without its end is still being written, or was cut by a kill.
  lines.pop();
  lines.forEach((line, index) => {
    try {
      const { record, wrong } = parseRecord(name, line);
      if (wrong.length > 0) found.push(`${name}, line ${index + 1}: not of its type: ${wrong.join(", ")}`);
      if (name === "events.jsonl") several.push(record as RecordFiles[F]);
      else bySteps.set(record.step, record as RecordFiles[F]);
    } catch (error) {
      found.push(`${name}, line ${index + 1}: ${reason(error)}`);
    }
  });
  problems.push(...found.slice(0, NAMED_LINES));
  if (found.length > NAMED_LINES) problems.push(`${name}: ${showMany(found.length - NAMED_LINES, "line")} more`);
  return [...several, ...bySteps.values()].sort((a, b) => a.step - b.step);
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
