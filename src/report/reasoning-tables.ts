// Question: how well do runs answer generated questions, beside each other?
//
// One table of exact match and one of the loss, in the form of the mHC paper's Table 4: a row for each task, a column for
// each connection. A cell is the mean over seeds with its 95 % interval; of one seed it has none. All difficulties of a
// task count alike, and so do all tasks in the last row. Beside the means stand the differences from the residual model,
// seed by seed, whose interval is narrower: seeds share their questions.

import { type Estimate, estimate } from "../basics/interval.ts";
import { mean } from "../basics/numbers.ts";
import { drawTable } from "../basics/table.ts";
import type { ReasoningRow } from "../runs/reasoning-data.ts";
import type { RunData } from "../runs/run-data.ts";
import { type Series, seriesOf } from "./figures/series.ts";
import type { Markup } from "./html.ts";
import { tablesMarkup } from "./table-markup.ts";

/** What a table is of. */
export interface ReasoningMeasure {
  readonly title: string;
  readonly of: (row: ReasoningRow) => number;
  readonly digits: number;
}

export const reasoningMeasures: readonly ReasoningMeasure[] = [
  { title: "exact match, %", of: ({ questions, right }) => (100 * right) / questions, digits: 1 },
  { title: "loss of answers, nats a token", of: ({ loss }) => loss, digits: 3 },
];

/** Runs that have been asked, by what they differ in but the seed. */
export const reasoningSeries = (runs: readonly RunData[]): Series[] =>
  seriesOf(runs.filter(({ reasoning }) => (reasoning?.rows.length ?? 0) > 0));

/** The tasks that every run was asked. */
export function sharedTasks(series: readonly Series[]): string[] {
  const all = series.flatMap(({ runs }) =>
    runs.map(({ reasoning }) => new Set(reasoning!.rows.map(({ task }) => task))),
  );
  return [...(all[0] ?? [])].filter((task) => all.every((tasks) => tasks.has(task)));
}

const ALL = "all tasks";

/**
 * The two tables, headings first: the task, a cell for each connection, and one for each difference; none where no runs
 * have been asked.
 */
export function reasoningTables(runs: readonly RunData[]): string[][][] {
  const series = reasoningSeries(runs);
  const tasks = sharedTasks(series);
  if (tasks.length === 0) return [];
  const residual = series.find(({ kind }) => kind === "residual");
  const others = series.filter((one) => one !== residual);
  const differences = residual ? others.filter((one) => pairsOf(one, residual).length > 0) : [];
  return reasoningMeasures.map(({ title, of, digits }) => {
    const value = (run: RunData, task: string): number =>
      task === ALL
        ? mean(tasks.map((one) => value(run, one)))
        : mean(run.reasoning!.rows.filter((row) => row.task === task).map(of));
    const row = (task: string): string[] => [
      task,
      ...series.map((one) => showEstimate(estimate(one.runs.map((run) => value(run, task))), digits)),
      ...differences.map((one) => {
        const pairs = pairsOf(one, residual!);
        return showEstimate(estimate(pairs.map(([run, twin]) => value(run, task) - value(twin, task))), digits, true);
      }),
    ];
    const heading = [
      title,
      ...series.map(({ label }) => label),
      ...differences.map(({ label }) => `${shortOf(label)} − residual`),
    ];
    return [heading, ...[...tasks, ALL].map(row)];
  });
}

const shortOf = (label: string): string => label.replace(/ \(\d+ seeds\)$/, "");

/** Runs of two series with the same seed. */
function pairsOf({ runs }: Series, residual: Series): [RunData, RunData][] {
  return runs.flatMap((run) => {
    const twin = residual.runs.find(({ config }) => config?.seed === run.config?.seed);
    return twin ? [[run, twin] as [RunData, RunData]] : [];
  });
}

/** "43.1 ± 2.0". */
export function showEstimate({ mean: value, half }: Estimate, digits: number, signed = false): string {
  // What rounds to 0 has no sign: −0 + 0 is 0.
  const rounded = Number(value.toFixed(digits)) + 0;
  const shown = rounded.toFixed(digits).replace("-", "−");
  const sign = signed && rounded > 0 ? "+" : "";
  return `${sign}${shown}${half === undefined ? "" : ` ± ${half.toFixed(digits)}`}`;
}

/** What holds for the tables, in sentences. */
export function reasoningNotes(runs: readonly RunData[]): string[] {
  const asked = runs.filter(({ reasoning }) => reasoning);
  const [first] = asked;
  const questions = Math.max(0, ...(first?.reasoning?.rows ?? []).map((row) => row.questions));
  const seeds = Math.min(...reasoningSeries(runs).map((one) => one.runs.length));
  return [
    `Up to ${questions} held-out questions of each task and difficulty. Exact match: every token of the answer and the end of the text after it are the model's first choice.`,
    seeds > 1
      ? `Means over ${seeds} seeds with their 95 % intervals (Student's t); differences are taken seed by seed. An interval that holds 0 shows no difference.`
      : "One seed has no interval: train several to know what a difference is worth.",
    "Models of a few million parameters answer nothing of MMLU, TriviaQA, GSM8K, MATH, HellaSwag, PIQA or DROP; they would be at chance there, so those tasks are not in this table.",
  ];
}

/** The tables for a terminal. */
export function reasoningText(runs: readonly RunData[], width?: number): string {
  return reasoningTables(runs)
    .map((rows) => drawTable(rows, { width }))
    .join("\n\n");
}

/** The tables for a page; undefined where there are none. */
export const reasoningMarkup = (runs: readonly RunData[]): Markup | undefined =>
  tablesMarkup(reasoningTables(runs), reasoningNotes(runs));
