// Question: is a line of a run folder what it says it is?
//
// A field of the wrong type is taken out, so that whoever draws a record may trust its types: a number is
// a number (NaN and ±Infinity too), a list of sublayers has a value for each, a matrix is square. What
// was taken out is named. Which fields there are, and of what shape: the tables of training/records.ts and
// stability/instruments.ts. Fields that no table knows stay as they are: a newer version may have written them.

import { parseJson } from "../files/json.ts";
import type { Table } from "../stability/fields.ts";
import {
  instrumentFields,
  type Instruments,
  type MatrixName,
  matrixNames,
  mixingNames,
} from "../stability/instruments.ts";
import { type Check, checkOf } from "../stability/shapes.ts";
import { isObject } from "../basics/objects.ts";
import {
  eventFields,
  type EventRecord,
  type GainRecord,
  metricFields,
  type MetricRecord,
} from "../training/records.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Names of the fields that were taken out, and what is left. */
interface Sound {
  readonly record: Fields;
  readonly wrong: readonly string[];
}

/** A line of mixing.jsonl: the matrices of a measured step. */
export type MixingRecord = { readonly step: number } & Pick<Instruments, MatrixName | "sublayers">;

/** The files of records in a run folder, and what a line of each is. Old runs have their matrices in gains.jsonl. */
export interface RecordFiles {
  readonly "metrics.jsonl": MetricRecord;
  readonly "gains.jsonl": GainRecord;
  readonly "mixing.jsonl": MixingRecord;
  readonly "events.jsonl": EventRecord;
}

/** What is left of a record: fields that its type requires may be missing, those that are there are of their types. */
export type Left<R> = Partial<R> & { readonly step: number };

const checksOf = (table: Table): Readonly<Record<string, Check>> =>
  Object.fromEntries(Object.entries(table).map(([name, { shape }]) => [name, checkOf(shape)]));
const metricChecks = checksOf(metricFields);
const gainChecks = checksOf(instrumentFields);
const eventChecks = checksOf(eventFields);

const shapes: Readonly<Record<keyof RecordFiles, (record: Fields) => Sound>> = {
  "metrics.jsonl": (record) => withoutWrong(record, metricChecks),
  "gains.jsonl": soundGains,
  "mixing.jsonl": soundGains,
  "events.jsonl": soundEvent,
};

const isStep = checkOf("count");

/**
 * A whole line of a file of records.
 *
 * @param only fields besides the step that are looked at; the others are left out, which for long lines saves time
 * @throws Error when the line is no record of a step
 */
export function parseRecord<F extends keyof RecordFiles>(
  file: F,
  line: string,
  only?: readonly (keyof RecordFiles[F] & string)[],
): { readonly record: Left<RecordFiles[F]>; readonly wrong: readonly string[] } {
  const value = parseJson(line);
  if (!isObject(value) || !isStep(value.step)) throw new Error("no record with a step");
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

/** The last of the lines that is a record of the wanted kind; undefined if none is. */
export function lastRecord<F extends keyof RecordFiles>(
  file: F,
  lines: readonly string[],
  isWanted: (record: Left<RecordFiles[F]>) => boolean = () => true,
): Left<RecordFiles[F]> | undefined {
  for (const line of lines.toReversed()) {
    const record = recordOf(file, line);
    if (record && isWanted(record)) return record;
  }
  return undefined;
}

/** What of a measured step goes into which file; undefined for a step without matrices. */
export function apart(record: GainRecord): { readonly gains: GainRecord; readonly mixing: MixingRecord | undefined } {
  const present = matrixNames.filter((name) => record[name] !== undefined);
  if (present.length === 0) return { gains: record, mixing: undefined };
  const { step, sublayers } = record;
  const matrices = Object.fromEntries(present.map((name) => [name, record[name]]));
  return {
    gains: without(record, present) as unknown as GainRecord,
    mixing: { step, ...(sublayers ? { sublayers } : {}), ...matrices },
  };
}

/**
 * The records of gains.jsonl with the matrices of mixing.jsonl of the same steps; those of other steps are left out.
 *
 * @param onWrong hears of matrices that are not of as many sublayers as the gains, which are left out too
 */
export function together(
  gains: readonly GainRecord[],
  mixing: readonly MixingRecord[],
  onWrong: (step: number, fields: readonly string[]) => void = () => undefined,
): GainRecord[] {
  const matrices = new Map(mixing.map((record) => [record.step, record]));
  return gains.map((gain) => {
    const more = matrices.get(gain.step);
    if (!more) return gain;
    const { record, wrong } = withoutUneven({ ...gain, ...more });
    if (wrong.length > 0) onWrong(gain.step, wrong);
    return record as unknown as GainRecord;
  });
}

function soundGains(record: Fields): Sound {
  const sound = withoutWrong(record, gainChecks);
  const even = withoutUneven(sound.record);
  return { record: even.record, wrong: [...sound.wrong, ...even.wrong] };
}

/** Lists of another length than the gains' own are taken out. */
function withoutUneven(record: Fields): Sound {
  const present = mixingNames.filter((name) => record[name] !== undefined);
  const lengths = present.map((name) => lengthOf(record[name]));
  const expected = lengths[present.findIndex((name) => name !== "sublayers")];
  const uneven = present.filter((_, index) => lengths[index] !== expected);
  return { record: without(record, uneven), wrong: uneven };
}

/** An alarm without a name or a message is one still. */
function soundEvent(record: Fields): Sound {
  const sound = withoutWrong(record, eventChecks);
  const defaults = { rule: "unknown", message: "", action: "continue" };
  return { ...sound, record: { ...defaults, ...sound.record } };
}

/** A page opens with tens of thousands of records: nothing is made for those that are sound. */
function withoutWrong(record: Fields, checks: Readonly<Record<string, Check>>): Sound {
  const wrong: string[] = [];
  for (const field in checks) {
    const value = record[field];
    if (value !== undefined && !checks[field]!(value)) wrong.push(field);
  }
  return { record: without(record, wrong), wrong };
}

function without(record: Fields, fields: readonly string[]): Fields {
  if (fields.length === 0) return record;
  return Object.fromEntries(Object.entries(record).filter(([field]) => !fields.includes(field)));
}

function lengthOf(value: unknown): number | undefined {
  const list = isObject(value) ? value.forward : value;
  return Array.isArray(list) ? list.length : undefined;
}
