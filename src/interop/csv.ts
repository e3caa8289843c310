// Question: how does a spreadsheet or a data frame read a run?
//
// Three tables as in RFC 4180: fields separated by commas, lines ended by CR LF, a field in quotation marks when it
// holds a comma, a quotation mark or a line break. A text that a spreadsheet would take for a formula (it begins
// with = + - @, also in full width, a tab or a line break) gets an apostrophe before it, because names and messages
// may come from anywhere.
//
//   metrics.csv  one line per step; of a network of one's own also the numbers that its program names
//   gains.csv    step, sublayer, field, value: one line per number, because the instruments of different connections
//                differ; sublayers count from 0, entries of matrices and lists are field[i]
//   events.csv   one line per alarm

import { expectFields } from "../basics/fields.ts";
import fs from "node:fs";
import path from "node:path";
import { reason } from "../files/errors.ts";
import type { Shape, Table } from "../stability/fields.ts";
import { instrumentFields } from "../stability/instruments.ts";
import { isObject } from "../basics/objects.ts";
import { eventFields, type GainRecord, metricFields } from "../training/records.ts";
import { readRunData, type RunData } from "../runs/run-data.ts";

type Cell = string | number | undefined;

const field = (cell: unknown): string => {
  if (typeof cell === "number") return String(cell);
  if (typeof cell !== "string") return "";
  const text = /^[=+\-@\t\r\n＝＋－＠]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** Rows of cells as CSV; a cell that is neither a text nor a number stays empty. */
export function formatCsv(rows: Iterable<readonly Cell[]>): string {
  return Array.from(rows, (row) => `${row.map(field).join(",")}\r\n`).join("");
}

type Columns = readonly (readonly [title: string, cell: (record: object) => Cell])[];

/** Texts that are written unchanged. */
const CELLS: ReadonlySet<Shape> = new Set<Shape>(["number", "count", "text", "action"]);

/** One column per field; one per part where the field has named parts; lists as JSON. */
function columnsOf(table: Table): Columns {
  const valueOf = (record: object, name: string): unknown => (record as Readonly<Record<string, unknown>>)[name];
  const fields = Object.entries(table).flatMap(([name, { shape, csv }]): Columns => {
    if (csv)
      return Object.entries(csv).map(([title, part]) => [
        title,
        (record) => {
          const value = valueOf(record, name);
          return isObject(value) ? (value[part] as Cell) : undefined;
        },
      ]);
    const isCell = CELLS.has(shape);
    return [[name, (record) => (isCell ? (valueOf(record, name) as Cell) : json(valueOf(record, name)))]];
  });
  return [["step", (record) => valueOf(record, "step") as Cell], ...fields];
}

const json = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));

const metricColumns = columnsOf(metricFields);
const eventColumns = columnsOf(eventFields);

function* gainRows(record: GainRecord): Generator<Cell[]> {
  const { step, sublayers, groups, ...fields } = record;
  const lists = Object.entries(fields).flatMap(([name, value]: [string, unknown]): [string, unknown, string][] =>
    instrumentFields[name]?.shape === "pair"
      ? Object.entries(isObject(value) ? value : {}).map(([way, list]) => [name, list, `${name}.${way}`])
      : [[name, value, name]],
  );
  for (const [name, list, label] of lists) {
    if (!Array.isArray(list)) continue;
    for (const [at, value] of (list as unknown[]).entries()) {
      const sublayer = instrumentFields[name]?.of === "all" ? at : (sublayers?.[at] ?? at);
      const values = Array.isArray(value)
        ? value.map((entry, index) => [`${label}[${index}]`, entry] as const)
        : [[label, value] as const];
      for (const [title, number] of values) if (typeof number === "number") yield [step, sublayer, title, number];
    }
  }
  for (const [group, norms] of Object.entries(isObject(groups) ? groups : {})) {
    for (const [norm, value] of Object.entries(isObject(norms) ? norms : {}))
      if (typeof value === "number") yield [step, undefined, `groups.${group}.${norm}`, value];
  }
}

function* tableOf(columns: Columns, records: readonly object[]): Generator<Cell[]> {
  yield columns.map(([title]) => title);
  for (const record of records) yield columns.map(([, cell]) => cell(record));
}

function* gainTable(gains: readonly GainRecord[]): Generator<Cell[]> {
  yield ["step", "sublayer", "field", "value"];
  for (const record of gains) yield* gainRows(record);
}

/** Columns of what the program of a network of one's own has measured under names of its own. */
function ownColumns({ net, metrics }: RunData): Columns {
  if (!net) return [];
  const known = new Set(metricColumns.map(([title]) => title));
  const names = new Set(metrics.flatMap((record) => Object.keys(record)).filter((name) => !known.has(name)));
  return [...names].map((name) => [name, (record) => (record as Readonly<Record<string, Cell>>)[name]]);
}

/** The tables of a run by file name. */
export function csvTables(run: RunData): Record<"metrics.csv" | "gains.csv" | "events.csv", string> {
  const { metrics, gains, events } = run;
  return {
    "metrics.csv": formatCsv(tableOf([...metricColumns, ...ownColumns(run)], metrics)),
    "gains.csv": formatCsv(gainTable(gains)),
    "events.csv": formatCsv(tableOf(eventColumns, events)),
  };
}

/**
 * Writes the tables of a run.
 *
 * @param folder a run folder in any state
 * @param out made if missing; existing files are an Error unless `overwrite` is set
 * @returns the files' paths
 */
export function exportCsv(folder: string, out: string, options: { overwrite?: boolean } = {}): string[] {
  expectFields("exportCsv", options, { overwrite: "flag" });
  const { overwrite = false } = options;
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
