// Question: how are the results of a comparison shown in the terminal?
//
// They are a table of the models side by side, and a drawing of their loss curves.

import { given } from "../basics/given.ts";
import { drawTable, wrapText } from "../basics/table.ts";
import { showBytes, showCount, showDecimal, showMany, showPlain } from "../basics/show.ts";
import { AXIS_WIDTH, drawChart, legendLines } from "./terminal-chart.ts";
import type { Paint, Style } from "./terminal.ts";

export interface SummaryRow {
  readonly name: string;
  /** It ended before its last step because it went wrong. */
  readonly diverged?: boolean;
  /** It ended before its last step because an alarm stopped it. */
  readonly alarmed?: boolean;
  /** It ended before its last step because the user stopped it alone. */
  readonly halted?: boolean;
  readonly parameters: number;
  readonly bitsPerByte: number | undefined;
  readonly tokensPerSecond: number;
  readonly memoryBytes: number;
  readonly largestGradientNorm: number | undefined;
  readonly largestForwardGain: number | undefined;
  readonly largestBackwardGain: number | undefined;
  /** The number of alarms, and the last one, such as "gain at step 120". */
  readonly alarms: number;
  readonly lastAlarm: string | undefined;
}

const titled: readonly (readonly [title: string, show: (row: SummaryRow) => string])[] = [
  [
    "model",
    ({ name, diverged, alarmed, halted }) =>
      `${showPlain(name)}${diverged ? " (diverged)" : alarmed || halted ? " (stopped)" : ""}`,
  ],
  ["parameters", ({ parameters }) => showCount(parameters)],
  ["val bits/byte", ({ bitsPerByte }) => bitsPerByte?.toFixed(4) ?? "-"],
  ["tokens/s", ({ tokensPerSecond }) => showCount(Math.round(tokensPerSecond))],
  ["memory", ({ memoryBytes }) => showBytes(memoryBytes)],
  ["max grad norm", ({ largestGradientNorm }) => decimal(largestGradientNorm, 3)],
  ["max gain fwd", ({ largestForwardGain }) => decimal(largestForwardGain, 4)],
  ["max gain bwd", ({ largestBackwardGain }) => decimal(largestBackwardGain, 4)],
  ["alarms", ({ alarms }) => String(alarms)],
];

const decimal = (value: number | undefined, digits: number): string =>
  value === undefined ? "-" : showDecimal(value, digits);

/** The table, and below it the last alarm of each run that raised one. */
export function summaryTable(rows: readonly SummaryRow[], width?: number): string {
  const table = drawTable([titled.map(([title]) => title), ...rows.map((row) => titled.map(([, show]) => show(row)))], {
    width,
  });
  const alarms = rows.flatMap(({ name, lastAlarm }) =>
    lastAlarm === undefined
      ? []
      : [wrapText(`last alarm of ${showPlain(name)}: ${lastAlarm}`, width ?? Number.POSITIVE_INFINITY)],
  );
  return [table, ...alarms].join("\n");
}

export interface Curve {
  readonly name: string;
  readonly values: readonly number[];
}

const COLOURS = ["cyan", "yellow", "green", "magenta", "blue", "red"] as const satisfies readonly Style[];
/** Curves that have no colours are told apart by letters. */
const LETTERS = "abcdefghijklmnopqrstuvwxyz";

export interface CurvesLook {
  /** Columns of the whole drawing, with its axis. */
  readonly width?: number;
  readonly height?: number;
  /** Without it no curve is coloured, and several are drawn with letters. */
  readonly paint?: Paint;
}

/** Curves over the same steps, as text; a long curve is averaged into as many points as there are columns. */
export function drawCurves(curves: readonly Curve[], { width = 80, height = 14, paint }: CurvesLook = {}): string {
  const steps = Math.max(0, ...curves.map(({ values }) => values.length));
  if (steps === 0) return "(no steps yet)";
  const columns = Math.max(8, width - AXIS_WIDTH);
  const isColoured = paint !== undefined && paint("bold", "x") !== "x";
  const looks = curves.map((_, index) => {
    const colour = COLOURS[index % COLOURS.length]!;
    if (isColoured) return { sign: "──", ink: (text: string): string => paint(colour, text) };
    const letter = LETTERS[index % LETTERS.length]!;
    return curves.length === 1 ? { sign: "──" } : { sign: letter, letter };
  });
  const drawn = curves.map(({ values }, index) => ({
    values: resample(values, steps, columns),
    ...given({ ink: looks[index]!.ink, letter: looks[index]!.letter }),
  }));
  const entries = curves.map(({ name, values }, index) => {
    const wrong = values.filter((value) => !Number.isFinite(value)).length;
    const { sign, ink = (text: string) => text } = looks[index]!;
    const label = `${sign} ${showPlain(name)}${wrong > 0 ? ` (${wrong} of ${showMany(values.length, "step")} are not finite)` : ""}`;
    return { length: label.length, text: ink(label) };
  });
  const anything = drawn.some(({ values }) => values.some((value) => value !== undefined));
  const chart = anything ? drawChart(drawn, height, `step ${showCount(steps)}`) : "(no finite values)";
  return `${chart}\n${legendLines(entries, width)}`;
}

/**
 * As many points as there are columns: means over equal intervals, so that a long noisy curve fits without distortion, and
 * the same number of points for each step of a short one. A curve that ended early ends early here too. There is a gap where nothing is finite.
 */
function resample(values: readonly number[], steps: number, columns: number): (number | undefined)[] {
  const points = steps < columns ? steps * Math.floor(columns / steps) : columns;
  const count = Math.ceil((values.length * points) / steps);
  return Array.from({ length: count }, (_, point) => {
    const from = Math.floor((point * steps) / points);
    const to = Math.max(from + 1, Math.floor(((point + 1) * steps) / points));
    const stretch = values.slice(from, to).filter(Number.isFinite);
    if (stretch.length === 0) return undefined;
    // Divided first, and held back at the end of float64: a sum of finite values may not be finite.
    const mean = stretch.reduce((sum, value) => sum + value / stretch.length, 0);
    return Math.max(-Number.MAX_VALUE, Math.min(mean, Number.MAX_VALUE));
  });
}
