// Question: what is a measured figure, and how is it printed?
//
// A figure has a name, a value and the two sides it was made from, or the reason why it was skipped. For machines it is
// printed as one line of JSON as soon as it is known. For people there is a table at the end, in Markdown so that it can
// be pasted into a page.

import { given } from "../../src/basics/given.ts";
import type { Timing } from "./interleave.ts";

/** One of the two sides compared. `value` enters the figure; median and best are in the same unit. */
export type Side = {
  readonly label: string;
  readonly value: number;
  readonly unit: string;
  readonly median?: number;
  readonly best?: number;
  readonly samples?: number;
};

export type Measured = {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly higher_is_better: boolean;
  /** The value to reach: at least this if higher is better, at most this if lower is better. */
  readonly bar?: number;
  readonly ours?: Side;
  readonly theirs?: Side;
  /** Share of the processors that other programs used meanwhile. */
  readonly background?: number;
};

type Skipped = { readonly name: string; readonly skipped: string };

export type Figure = Measured | Skipped;

export type Statistic = "median" | "best";

/** A timing as a side, in milliseconds. */
export function milliseconds(timing: Timing, statistic: Statistic): Side {
  return rate(timing, statistic, "ms", (ms) => ms);
}

/** A timing as a side in a unit of speed, e.g. `rate(t, "best", "GFLOP/s", (ms) => flop / ms / 1e6)`. */
export function rate(timing: Timing, statistic: Statistic, unit: string, of: (ms: number) => number): Side {
  const { label, ms } = timing;
  const median = of(timing.median);
  const best = of(timing.best);
  return { label, value: { median, best }[statistic], unit, median, best, samples: ms.length };
}

/** Ours divided by theirs. Higher is better by default; for times and sizes, say that it is not. */
export function ratio(
  name: string,
  ours: Side,
  theirs: Side,
  { higher_is_better, bar }: { readonly higher_is_better: boolean; readonly bar?: number },
): Measured {
  if (ours.unit !== theirs.unit) {
    throw new Error(
      `Figure "${name}" compares ${ours.label} in ${ours.unit} with ${theirs.label} in ${theirs.unit}; ` +
        `give both sides in one unit.`,
    );
  }
  const value = ours.value / theirs.value;
  return { name, value, unit: "×", higher_is_better, ...given({ bar }), ours, theirs };
}

export function meetsBar({ value, bar, higher_is_better }: Measured): boolean {
  if (bar === undefined) return true;
  return higher_is_better ? value >= bar : value <= bar;
}

/** Four significant digits: more would be noise. */
function round(figure: Measured, key: string, value: number): number {
  if (Number.isFinite(value)) return key === "bar" ? value : Number(value.toPrecision(4));
  throw new Error(`Figure "${figure.name}" has ${key} = ${value}; a figure needs finite numbers.`);
}

/** One line of JSON. */
export function figureJson(figure: Figure): string {
  if ("skipped" in figure) return JSON.stringify(figure);
  return JSON.stringify(figure, (key, value: unknown) =>
    typeof value === "number" ? round(figure, key, value) : value,
  );
}

/** 12345.6 → "12,346", 12.345 → "12.3", 0.01234 → "0.0123". */
function short(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(3)));
}

function sideText(side: Side | undefined): string {
  if (side === undefined) return "";
  const { label, value, unit, median, best } = side;
  const [other, besides] = value === median ? ["best", best] : ["median", median];
  return `${label}: ${short(value)} ${unit}${besides === undefined ? "" : ` (${other} ${short(besides)})`}`;
}

function barText(figure: Measured): string {
  if (figure.bar === undefined) return "";
  return `${figure.higher_is_better ? "≥" : "≤"} ${figure.bar} ${meetsBar(figure) ? "✓" : "✗"}`;
}

function row(figure: Measured): readonly string[] {
  const value = figure.unit === "×" ? figure.value.toFixed(2) : short(figure.value);
  return [figure.name, `${value} ${figure.unit}`, barText(figure), sideText(figure.ours), sideText(figure.theirs)];
}

/** A Markdown table with aligned columns and without empty ones, then a line for each skipped figure. */
export function figureTable(figures: readonly Figure[]): string {
  const rows = figures.flatMap((figure) => ("skipped" in figure ? [] : [row(figure)]));
  const skipped = figures.flatMap((figure) =>
    "skipped" in figure ? [`${figure.name} skipped: ${figure.skipped}`] : [],
  );
  const columns = ["figure", "value", "bar", "ours", "theirs"]
    .map((title, k) => [title, ...rows.map((cells) => cells[k]!)])
    .filter((cells) => cells.slice(1).some((cell) => cell !== ""))
    .map((cells) => {
      const width = Math.max(...cells.map((cell) => cell.length));
      return [cells[0]!.padEnd(width), "-".repeat(width), ...cells.slice(1).map((cell) => cell.padEnd(width))];
    });
  const table = (columns[0] ?? []).map((_, line) => `| ${columns.map((cells) => cells[line]).join(" | ")} |`);
  const gap = table.length > 0 && skipped.length > 0 ? [""] : [];
  return [...table, ...gap, ...skipped].map((line) => line + "\n").join("");
}

/** Prints figures as they are measured and returns them all, or those until a signal ended it. */
export async function report(
  figures: AsyncIterable<Figure> | Iterable<Figure>,
  {
    json,
    write,
    signal,
  }: { readonly json: boolean; readonly write: (text: string) => void; readonly signal?: AbortSignal | undefined },
): Promise<readonly Figure[]> {
  const all: Figure[] = [];
  const aborted = new Promise<undefined>((resolve) => signal?.addEventListener("abort", () => resolve(undefined)));
  const iterator = Symbol.asyncIterator in figures ? figures[Symbol.asyncIterator]() : figures[Symbol.iterator]();
  for (;;) {
    const next = await Promise.race([iterator.next(), aborted]);
    if (!next || next.done) break;
    all.push(next.value);
    if (json) write(figureJson(next.value) + "\n");
  }
  if (!json) write(figureTable(all));
  return all;
}
