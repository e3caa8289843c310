// Question: how much do disturbances change the outputs of runs, beside each other?
//
// A row for each disturbance, a column for each connection: the mean over seeds with its 95 % interval. Streams and layers
// are taken together: the mean over them, and the worst.

import { type Estimate, estimate } from "../basics/interval.ts";
import { mean } from "../basics/numbers.ts";
import { showMany } from "../basics/show.ts";
import { drawTable } from "../basics/table.ts";
import type { RobustnessRow } from "../runs/robustness-data.ts";
import type { RunData } from "../runs/run-data.ts";
import { type Series, seriesOf } from "./figures/series.ts";
import type { Markup } from "./html.ts";
import { showEstimate } from "./reasoning-tables.ts";
import { tablesMarkup } from "./table-markup.ts";

type Number = "change" | "divergence" | "flips";

/** What is shown in a line, and of which rows. */
interface Line {
  readonly name: string;
  readonly of: (row: RobustnessRow) => boolean;
  /** How several rows become one number. */
  readonly as: "mean" | "worst";
}

const worst = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity);

/** Runs that were disturbed, by what they differ in but the seed. */
export const robustnessSeries = (runs: readonly RunData[]): Series[] =>
  seriesOf(runs.filter(({ robustness }) => (robustness?.rows.length ?? 0) > 0));

const collected: Readonly<Partial<Record<RobustnessRow["kind"], string>>> = {
  drop: "a stream dropped",
  skip: "a layer skipped",
};

const titles: readonly (readonly [RegExp, (size: string) => string])[] = [
  [/^noise:(.+)$/, (size) => `weight noise of ${size} rms`],
  [/^bfloat16$/, () => "matrices in bfloat16"],
  [/^int8$/, () => "matrices in int8"],
  [/^input:(.+)$/, (share) => `${Number(share) * 100} % of the tokens replaced`],
];

function titleOf(name: string): string {
  for (const [pattern, title] of titles) {
    const match = pattern.exec(name);
    if (match) return title(match[1] ?? "");
  }
  return name;
}

/** The lines that any run has something for. */
export function robustnessLines(series: readonly Series[]): Line[] {
  const rows = series.flatMap(({ runs }) => runs.flatMap(({ robustness }) => robustness!.rows));
  const single = [...new Set(rows.filter(({ kind }) => !collected[kind]).map(({ name }) => name))];
  const together = Object.entries(collected).filter(([kind]) => rows.some((row) => row.kind === kind));
  return [
    ...single.map((name): Line => ({ name: titleOf(name), of: (row) => row.name === name, as: "mean" })),
    ...together.flatMap(([kind, title]) =>
      (["mean", "worst"] as const).map((as): Line => ({
        name: `${title}, ${as === "mean" ? "mean" : "the worst"}`,
        of: (row) => row.kind === kind,
        as,
      })),
    ),
  ];
}

/** A number of a line over the seeds of a series; undefined where it has no such rows. */
export function robustnessEstimate({ runs }: Series, { of, as }: Line, number: Number): Estimate | undefined {
  const values = runs.flatMap(({ robustness }) => {
    const found = robustness!.rows.filter(of).map((row) => row[number]);
    return found.length === 0 ? [] : [as === "mean" ? mean(found) : worst(found)];
  });
  return values.length === 0 ? undefined : estimate(values);
}

const isBounded = ({ runs }: Series, { of }: Line): boolean =>
  runs.every(({ robustness }) => robustness!.rows.filter(of).every(({ bounded }) => bounded));

const shown: readonly {
  readonly number: Number;
  readonly title: string;
  readonly factor: number;
  readonly digits: number;
}[] = [
  { number: "change", title: "change of the loss, nats a token", factor: 1, digits: 4 },
  { number: "flips", title: "tokens whose likeliest successor changes, %", factor: 100, digits: 2 },
];

/** One table for the loss and one for the flips, headings first; none where no run was disturbed. */
export function robustnessTables(runs: readonly RunData[]): string[][][] {
  const series = robustnessSeries(runs);
  if (series.length === 0) return [];
  const lines = robustnessLines(series);
  return shown.map(({ number, title, factor, digits }) => [
    [title, ...series.map(({ label }) => label)],
    ...lines.map((line) => [
      line.name,
      ...series.map((one) => {
        const found = robustnessEstimate(one, line, number);
        if (!found) return "–";
        const scaled = {
          mean: factor * found.mean,
          ...(found.half === undefined ? {} : { half: factor * found.half }),
        };
        return `${isBounded(one, line) ? "" : "! "}${showEstimate(scaled, digits, number === "change")}`;
      }),
    ]),
  ]);
}

/** What holds for the tables, in sentences. */
export function robustnessNotes(runs: readonly RunData[]): string[] {
  const series = robustnessSeries(runs);
  const lines = robustnessLines(series);
  const tables = runs.flatMap(({ robustness }) => robustness ?? []);
  const losses = series.map(
    (one) => `${one.label} ${showEstimate(estimate(one.runs.map(({ robustness }) => robustness!.loss)), 4)}`,
  );
  const unbounded = series.flatMap((one) => {
    const beyond = lines.filter((line) => !isBounded(one, line)).map(({ name }) => name);
    return beyond.length === 0 ? [] : [`${one.label}: ${beyond.join("; ")}`];
  });
  const draws = Math.max(0, ...tables.flatMap(({ rows }) => rows.map((row) => row.draws)));
  const seeds = Math.min(...series.map((one) => one.runs.length));
  return [
    `Undisturbed losses: ${losses.join(", ")}, over ${Math.max(0, ...tables.map(({ tokens }) => tokens)).toLocaleString("en")} validation tokens. Random disturbances are means over ${showMany(draws, "draw")}.`,
    seeds > 1
      ? `Means over ${seeds} seeds with their 95 % intervals (Student's t).`
      : "One seed has no interval: train several to know what a difference is worth.",
    unbounded.length === 0
      ? "Every loss stays below that of guessing evenly among all tokens: all of these disturbances are bounded for all of these models."
      : `! is worse than guessing evenly among all tokens, in at least one draw: ${unbounded.join(". ")}.`,
  ];
}

/** The tables for a terminal. */
export function robustnessText(runs: readonly RunData[], width?: number): string {
  return robustnessTables(runs)
    .map((rows) => drawTable(rows, { width }))
    .join("\n\n");
}

/** The tables for a page; undefined where there are none. */
export const robustnessMarkup = (runs: readonly RunData[]): Markup | undefined =>
  tablesMarkup(robustnessTables(runs), robustnessNotes(runs));
