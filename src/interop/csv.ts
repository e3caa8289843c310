// Question: how does a spreadsheet or a data frame read a run?
//
// Three tables as RFC 4180 has them: fields joined by commas, lines ended by CR LF, a field in quotation marks
// when it holds a comma, a quotation mark or a line break. A text that a spreadsheet would take for a formula
// (it begins with = + - @, also in full width, a tab or a line break) gets an apostrophe before it: names and messages may come from anywhere.
//
//   metrics.csv  one line a step
//   gains.csv    step, sublayer, field, value: one line a number, as the instruments measure different things
//                of different connections; sublayers count from 0, entries of matrices and lists are field[i]
//   events.csv   one line an alarm

import fs from "node:fs";
import path from "node:path";
import { reason } from "../files/errors.ts";
import type { EventRecord, GainRecord, MetricRecord } from "../training/records.ts";
import { readRunData, type RunData } from "../runs/run-data.ts";

type Cell = string | number | undefined;

const field = (cell: unknown): string => {
  if (typeof cell === "number") return String(cell);
  if (typeof cell !== "string") return "";
  const text = /^[=+\-@\t\r\n＝＋－＠]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** Rows of cells as CSV; a cell that is undefined, or of any other kind than text and numbers, stays empty. */
export function formatCsv(rows: Iterable<readonly Cell[]>): string {
  return Array.from(rows, (row) => `${row.map(field).join(",")}\r\n`).join("");
}

const json = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));

const metricColumns: readonly (readonly [title: string, cell: (record: MetricRecord) => Cell])[] = [
  ["step", ({ step }) => step],
  ["loss", ({ loss }) => loss],
  ["gradientNorm", ({ gradientNorm }) => gradientNorm],
  ["learningRate", ({ learningRate }) => learningRate],
  ["tokensPerSecond", ({ tokensPerSecond }) => tokensPerSecond],
  ["seconds", ({ seconds }) => seconds],
  ["validationLoss", ({ validationLoss }) => validationLoss],
  ["bitsPerByte", ({ bitsPerByte }) => bitsPerByte],
  ["expertLoad", ({ expertLoad }) => json(expertLoad)],
];

const eventColumns: readonly (readonly [title: string, cell: (record: EventRecord) => Cell])[] = [
  ["step", ({ step }) => step],
  ["rule", ({ rule }) => rule],
  ["action", ({ action }) => action],
  ["value", ({ value }) => value],
  ["bound", ({ bound }) => bound],
  ["sublayer", ({ sublayer }) => sublayer],
  ["rollbackStep", ({ rollback }) => rollback?.step],
  ["rateFactor", ({ rollback }) => rollback?.rateFactor],
  ["message", ({ message }) => message],
];

/** Lists with a value for every sublayer of the network; the others have one for each that mixes streams. */
const everySublayer: ReadonlySet<string> = new Set(["activation", "blockOutput", "gradient"]);

function* gainRows(record: GainRecord): Generator<Cell[]> {
  const { step, sublayers, groups, single, composite, ...lists } = record;
  const pairs = [single, composite].flatMap((pair, at) =>
    isObject(pair)
      ? Object.entries(pair).map(([way, list]) => [`${at === 0 ? "single" : "composite"}.${way}`, list])
      : [],
  ) as [string, unknown][];
  for (const [name, list] of [...pairs, ...Object.entries(lists)]) {
    if (!Array.isArray(list)) continue;
    for (const [at, value] of (list as unknown[]).entries()) {
      const sublayer = everySublayer.has(name) ? at : Array.isArray(sublayers) ? sublayers[at] : at;
      const values = Array.isArray(value)
        ? value.map((entry, index) => [`${name}[${index}]`, entry] as const)
        : [[name, value] as const];
      for (const [title, number] of values) if (typeof number === "number") yield [step, sublayer, title, number];
    }
  }
  for (const [group, norms] of Object.entries(isObject(groups) ? groups : {})) {
    for (const [norm, value] of Object.entries(isObject(norms) ? norms : {}))
      if (typeof value === "number") yield [step, undefined, `groups.${group}.${norm}`, value];
  }
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;

function* tableOf<R>(
  columns: readonly (readonly [string, (record: R) => Cell])[],
  records: readonly R[],
): Generator<Cell[]> {
  yield columns.map(([title]) => title);
  for (const record of records) yield columns.map(([, cell]) => cell(record));
}

function* gainTable(gains: readonly GainRecord[]): Generator<Cell[]> {
  yield ["step", "sublayer", "field", "value"];
  for (const record of gains) yield* gainRows(record);
}

/** The tables of a run by their files' names. */
export function csvTables({
  metrics,
  gains,
  events,
}: RunData): Record<"metrics.csv" | "gains.csv" | "events.csv", string> {
  return {
    "metrics.csv": formatCsv(tableOf(metricColumns, metrics)),
    "gains.csv": formatCsv(gainTable(gains)),
    "events.csv": formatCsv(tableOf(eventColumns, events)),
  };
}

/**
 * Writes the tables of a run.
 *
 * @param folder a run folder, in whatever state
 * @param out made if missing; files that are there already are an Error unless `overwrite` is set
 * @returns the files' paths
 */
export function exportCsv(folder: string, out: string, { overwrite = false }: { overwrite?: boolean } = {}): string[] {
  const run = readRunData(folder);
  if (!run.config && run.metrics.length === 0)
    throw new Error(`there is no run in ${folder}: ${run.problems.join("; ")}`);
  return Object.entries(csvTables(run)).map(([name, text]) => {
    const file = path.join(out, name);
    try {
      fs.mkdirSync(out, { recursive: true });
      fs.writeFileSync(file, text, { flag: overwrite ? "w" : "wx" });
    } catch (error) {
      throw new Error(`cannot write ${file}: ${reason(error)}. Choose another folder, or replace it (--overwrite)`, {
        cause: error,
      });
    }
    return file;
  });
}
