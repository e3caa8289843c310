// Question: how do the results of interventions look in a terminal?
//
// There is a table for each group: replaced maps (a row for each set of sublayers), dropped streams, swapped streams,
// and numbers of iterations (a row for each). A cell shows the change of the loss in nats a token, and the change of the
// perplexity in percent, or as a factor if it is large.

import { sublayerRole } from "../model/overrides.ts";
import {
  type Intervention,
  parseIntervention,
  publishedInterventions,
  type PublishedIntervention,
  ranges,
} from "../study/interventions.ts";
import { type InterventionReport, type InterventionRow, isUndecided } from "../study/intervene.ts";
import { drawTable } from "../basics/table.ts";

/**
 * The tables one below the other, and the published figures beside ours.
 *
 * @param width columns of the terminal
 */
export function interventionsText(report: InterventionReport, width?: number): string {
  const count = (tokens: number): string => tokens.toLocaleString("en");
  return [
    `step ${report.step}: validation loss ${report.loss.toFixed(4)} nats a token over ${count(report.tokens)} tokens; ` +
      `means of the maps over ${count(report.meanTokens)} training tokens`,
    "change of the loss in nats a token, and of the perplexity",
    ...groupsOf(report).map(
      ({ title, rows, bySet }) =>
        `\n${drawTable(bySet ? bySets(title, rows) : byIntervention(title, rows), { width })}`,
    ),
    ...(report.rows.some(isUndecided)
      ? ["\n~ within two standard errors of no change, estimated from the single batches"]
      : []),
    ...published(report),
  ].join("\n");
}

/** Rows that form one table. */
interface Group {
  readonly title: string;
  readonly rows: readonly InterventionRow[];
  /** Whether the rows of its table are sets of sublayers instead of interventions. */
  readonly bySet: boolean;
}

const titles: Readonly<Record<"maps" | "drop" | "swap" | "iterations", string>> = {
  maps: "maps become",
  drop: "stream left out",
  swap: "streams swapped",
  iterations: "Sinkhorn-Knopp",
};

function groupName({ kind }: Intervention): keyof typeof titles {
  return kind === "drop" || kind === "swap" || kind === "iterations" ? kind : "maps";
}

/** The groups for which a report has rows. */
function groupsOf({ rows }: InterventionReport): Group[] {
  return (Object.keys(titles) as (keyof typeof titles)[])
    .map((name) => ({
      title: titles[name],
      rows: rows.filter(({ intervention }) => groupName(parseIntervention(intervention)) === name),
      bySet: name === "maps",
    }))
    .filter((group) => group.rows.length > 0);
}

function bySets(title: string, rows: readonly InterventionRow[]): string[][] {
  return cross(title, rows, [
    ({ set }) => set,
    ({ intervention }) => intervention,
    setLabel,
    ({ intervention }) => interventionLabel(intervention),
  ]);
}

function byIntervention(title: string, rows: readonly InterventionRow[]): string[][] {
  return cross(title, rows, [
    ({ intervention }) => intervention,
    ({ set }) => set,
    ({ intervention }) => interventionLabel(intervention),
    setLabel,
  ]);
}

type Of = (row: InterventionRow) => string;

/** The cells of a table with a row and a column for each key, with their labels. */
function cross(
  title: string,
  rows: readonly InterventionRow[],
  [line, column, lineLabel, columnLabel]: [Of, Of, Of, Of],
): string[][] {
  const firstOf = (key: Of): InterventionRow[] =>
    rows.filter((row, index) => rows.findIndex((each) => key(each) === key(row)) === index);
  const columns = firstOf(column);
  const lines = firstOf(line).map((first) => [
    lineLabel(first),
    ...columns.map((top) => {
      const row = rows.find((each) => line(each) === line(first) && column(each) === column(top));
      return row ? showChange(row) : "";
    }),
  ]);
  return [[title, ...columns.map(columnLabel)], ...lines];
}

/** Such as "early 0-3", "3 feed-forward" and "0-5,8". */
function setLabel({ set, sublayers }: Pick<InterventionRow, "set" | "sublayers">): string {
  if (/^\d+$/.test(set)) return `${set} ${sublayerRole(Number(set)) === "attention" ? "attention" : "feed-forward"}`;
  return /^[a-z]/.test(set) && set !== "last" ? `${set} ${ranges(sublayers)}` : ranges(sublayers);
}

/** Such as "identity", "stream 2", "0 and 1" and "5 iterations". */
function interventionLabel(name: string): string {
  const intervention = parseIntervention(name);
  if (intervention.kind === "drop") return `stream ${intervention.stream}`;
  if (intervention.kind === "swap") return intervention.streams.join(" and ");
  if (intervention.kind !== "iterations") return intervention.kind;
  return `${intervention.iterations} ${intervention.iterations === 1 ? "iteration" : "iterations"}`;
}

/** "+0.0124 +1.25%", with ~ before them if the change cannot be distinguished from none. */
function showChange(row: InterventionRow): string {
  return `${isUndecided(row) ? "~" : ""}${showNats(row.change)} ${showPercent(Math.expm1(row.change)).padStart(6)}`;
}

/** A number with its sign. If four decimals would hide it, it is shown as a power of ten. */
export function showNats(change: number): string {
  const sign = change > 0 ? "+" : "";
  if (change === 0 || !Number.isFinite(change)) return String(change);
  return sign + (Math.abs(change) < 5e-4 ? change.toExponential(0) : change.toFixed(4));
}

function showPercent(share: number): string {
  const percent = 100 * share;
  const size = Math.abs(percent);
  if (percent === 0 || !Number.isFinite(percent)) return `${percent}%`;
  if (size < 5e-3) return "≈0%";
  if (percent >= 1000) return `×${(1 + share).toPrecision(3)}`;
  return `${percent > 0 ? "+" : ""}${percent.toFixed(size < 9.95 ? 2 : size < 99.5 ? 1 : 0)}%`;
}

/** Our row that corresponds to a published one. */
export function ourRow(
  { rows }: InterventionReport,
  { kind, sublayers }: PublishedIntervention,
): InterventionRow | undefined {
  return rows.find(({ intervention, set }) => intervention === kind && set === sublayers);
}

function published(report: InterventionReport): string[] {
  const { model, text, source, rows } = publishedInterventions;
  const compared = rows.flatMap((row) => {
    const ours = ourRow(report, row);
    if (!ours) return [];
    return `${row.sublayers} → ${row.kind} +${Number((100 * row.perplexity).toPrecision(3))}% (here ${showPercent(Math.expm1(ours.change))})`;
  });
  if (compared.length === 0) return [];
  return [
    `\nFor reference, ${model} on ${text} (${source}), its own early and late layers, perplexity:`,
    `  ${compared.join(", ")}`,
  ];
}
