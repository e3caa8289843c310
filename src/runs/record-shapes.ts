// Question: is a line of a run folder what it says it is?
//
// A field of the wrong type is taken out, so that whoever draws a record may trust its types: a number is
// a number (NaN and ±Infinity too), a list of sublayers has a value for each, a matrix is square. What
// was taken out is named. Formats: runs/run-folder.ts and stability/instruments.ts.

import { parseJson } from "../files/records.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/records.ts";
import type { InterventionsData } from "./run-data.ts";

type Check = (value: unknown) => boolean;

type Fields = Readonly<Record<string, unknown>>;

/** Names of the fields that were taken out, and what is left. */
interface Sound {
  readonly record: Fields;
  readonly wrong: readonly string[];
}

/** The files of records in a run folder, and what a line of each is. */
export interface RecordFiles {
  readonly "metrics.jsonl": MetricRecord;
  readonly "gains.jsonl": GainRecord;
  readonly "events.jsonl": EventRecord;
}

/** What is left of a record: fields that its type requires may be missing, those that are there are of their types. */
export type Left<R> = Partial<R> & { readonly step: number };

const number: Check = (value) => typeof value === "number";
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const text: Check = (value) => typeof value === "string";
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const numbers = listOf(number);
const nullable = listOf((value) => value === null || number(value));
const vectors = listOf((value) => numbers(value) && (value as unknown[]).length > 0);
const square = listOf((value) => numbers(value) && Number.isInteger(Math.sqrt((value as unknown[]).length)));
const pair: Check = (value) =>
  isObject(value) &&
  numbers(value.forward) &&
  numbers(value.backward) &&
  (value.forward as unknown[]).length === (value.backward as unknown[]).length;
const groups: Check = (value) =>
  isObject(value) &&
  Object.values(value).every(
    (group) => isObject(group) && number(group.gradient) && number(group.weight) && number(group.update),
  );

const metricFields: Readonly<Record<string, Check>> = {
  loss: number,
  gradientNorm: number,
  learningRate: number,
  tokensPerSecond: number,
  seconds: number,
  validationLoss: number,
  bitsPerByte: number,
  expertLoad: vectors,
};
/** One value for each sublayer that mixes streams. */
const mixingFields: Readonly<Record<string, Check>> = {
  sublayers: listOf(count),
  single: pair,
  composite: pair,
  mixing: square,
  product: square,
  rowError: numbers,
  columnError: numbers,
  smallestLogit: nullable,
  largestLogit: nullable,
  secondEigenvalue: numbers,
  distance: numbers,
  read: vectors,
  write: vectors,
  streamCosine: numbers,
  effectiveStreams: numbers,
  dominantShare: numbers,
};
const gainFields: Readonly<Record<string, Check>> = {
  ...mixingFields,
  activation: numbers,
  blockOutput: numbers,
  gradient: numbers,
  groups,
};

const eventFields: Readonly<Record<string, Check>> = {
  rule: text,
  message: text,
  value: number,
  bound: number,
  sublayer: count,
  action: text,
  rollback: (value) => isObject(value) && number(value.step) && number(value.rateFactor),
};

const shapes: Readonly<Record<keyof RecordFiles, (record: Fields) => Sound>> = {
  "metrics.jsonl": (record) => withoutWrong(record, metricFields),
  "gains.jsonl": soundGains,
  "events.jsonl": soundEvent,
};

/**
 * A whole line of a file of records.
 *
 * @param only fields besides the step that are looked at; the others are left out, which for the long lines of
 *   gains saves time
 * @throws Error when the line is no record of a step
 */
export function parseRecord<F extends keyof RecordFiles>(
  file: F,
  line: string,
  only?: readonly (keyof RecordFiles[F] & string)[],
): { readonly record: Left<RecordFiles[F]>; readonly wrong: readonly string[] } {
  const value = parseJson(line);
  if (!isObject(value) || !count(value.step)) throw new Error("no record with a step");
  const wanted = only ? Object.fromEntries(["step", ...only].map((field) => [field, value[field]])) : value;
  const { record, wrong } = shapes[file](wanted);
  return { record: record as Left<RecordFiles[F]>, wrong };
}

/** The same, undefined for a line that is no record of a step. */
export function recordOf<F extends keyof RecordFiles>(
  file: F,
  line: string,
  only?: readonly (keyof RecordFiles[F] & string)[],
): Left<RecordFiles[F]> | undefined {
  try {
    return parseRecord(file, line, only).record;
  } catch {
    return undefined;
  }
}

/** Lists of another length than the gains' own are taken out. */
function soundGains(record: Fields): Sound {
  const sound = withoutWrong(record, gainFields);
  const present = Object.keys(mixingFields).filter((field) => sound.record[field] !== undefined);
  const lengths = present.map((field) => lengthOf(sound.record[field]));
  const expected = lengths[present.findIndex((field) => field !== "sublayers")];
  const uneven = present.filter((_, index) => lengths[index] !== expected);
  return {
    record: without(sound.record, uneven),
    wrong: [...sound.wrong, ...uneven],
  };
}

/** An alarm without a name or a message is one still. */
function soundEvent(record: Fields): Sound {
  const sound = withoutWrong(record, eventFields);
  const defaults = { rule: "unknown", message: "", action: "continue" };
  return { ...sound, record: { ...defaults, ...sound.record } };
}

/** What interventions.json holds: the rows that are sound. */
export function soundInterventions(value: unknown): InterventionsData {
  if (!isObject(value) || !count(value.step) || !number(value.loss) || !Array.isArray(value.rows))
    throw new Error("it needs a step, a loss and rows");
  const rows = value.rows.filter(
    (row): row is InterventionsData["rows"][number] =>
      isObject(row) && text(row.name) && number(row.change) && number(row.loss),
  );
  return {
    step: value.step as number,
    loss: value.loss as number,
    rows: rows.map(({ name, change, loss, sublayers }) => ({
      name,
      change,
      loss,
      sublayers: listOf(count)(sublayers) ? sublayers : [],
    })),
  };
}

/** A page opens with tens of thousands of records: nothing is made for those that are sound. */
function withoutWrong(record: Fields, fields: Readonly<Record<string, Check>>): Sound {
  const wrong: string[] = [];
  for (const field in fields) {
    const value = record[field];
    if (value !== undefined && !fields[field]!(value)) wrong.push(field);
  }
  return { record: without(record, wrong), wrong };
}

function without(record: Fields, fields: readonly string[]): Fields {
  if (fields.length === 0) return record;
  return Object.fromEntries(Object.entries(record).filter(([field]) => !fields.includes(field)));
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : (value as { forward: unknown[] }).forward.length;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
