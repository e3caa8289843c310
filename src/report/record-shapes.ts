// Question: is a line of a run folder what it says it is?
//
// A field of the wrong type is taken out, so that whoever draws a record may trust its types: a number is
// a number (NaN and ±Infinity too), a list of sublayers has a value for each, a matrix is square. What
// was taken out is named. Formats: training/run-folder.ts and stability/instruments.ts.

import type { InterventionsData } from "./run-data.ts";

type Check = (value: unknown) => boolean;

/** Names of the fields that were taken out, and what is left. */
export interface Sound {
  readonly record: Record<string, unknown>;
  readonly wrong: readonly string[];
}

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

/** A line of metrics.jsonl; a damaged one may lack what its type requires. */
export function soundMetrics(record: Record<string, unknown>): Sound {
  return withoutWrong(record, metricFields);
}

/** A line of gains.jsonl; lists of another length than the gains' own are taken out. */
export function soundGains(record: Record<string, unknown>): Sound {
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

/** A line of events.jsonl; undefined when it names no rule. */
export function soundEvent(record: Record<string, unknown>): Sound {
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

function withoutWrong(record: Record<string, unknown>, fields: Readonly<Record<string, Check>>): Sound {
  const wrong = Object.entries(fields)
    .filter(([field, check]) => record[field] !== undefined && !check(record[field]))
    .map(([field]) => field);
  return { record: without(record, wrong), wrong };
}

function without(record: Record<string, unknown>, fields: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([field]) => !fields.includes(field)));
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : (value as { forward: unknown[] }).forward.length;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
