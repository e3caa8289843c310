// Question: how are the results of a comparison shown in the terminal?
//
// They are a table of the models side by side, and a drawing of their loss curves.

import { drawTable } from "../basics/table.ts";
import { showBytes, showCount, showDecimal, showPlain } from "../basics/show.ts";
import { drawChart } from "./terminal-chart.ts";

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

const columns: readonly (readonly [title: string, show: (row: SummaryRow) => string])[] = [
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
  ["alarms", ({ alarms, lastAlarm }) => (lastAlarm === undefined ? String(alarms) : `${alarms}, last ${lastAlarm}`)],
];

const decimal = (value: number | undefined, digits: number): string =>
  value === undefined ? "-" : showDecimal(value, digits);

export function summaryTable(rows: readonly SummaryRow[]): string {
  return drawTable([columns.map(([title]) => title), ...rows.map((row) => columns.map(([, show]) => show(row)))]);
}

export interface Curve {
  readonly name: string;
  readonly values: readonly number[];
}

const COLOURS = ["\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[31m"] as const;
const PLAIN = "\x1b[0m";

/**
 * Curves over the same steps, as text.
 *
 * @param width columns of the drawing; values are averaged into that many points
 * @param colour use terminal colours (pass isTTY); without them the curves cannot be told apart where they cross
 */
export function drawCurves(
  curves: readonly Curve[],
  { width = 70, height = 14, colour = false }: { width?: number; height?: number; colour?: boolean } = {},
): string {
  if (curves.every(({ values }) => values.length === 0)) return "(no steps yet)";
  const drawn = curves.map(({ values }, index) => ({
    values: resample(values, width),
    ...(colour ? { colour: COLOURS[index % COLOURS.length]! } : {}),
  }));
  const legend = curves
    .map(({ name, values }, index) => {
      const wrong = values.filter((value) => !Number.isFinite(value)).length;
      const label = wrong > 0 ? `${name} (${wrong} of ${values.length} steps are not finite)` : name;
      return colour ? `${COLOURS[index % COLOURS.length]!}── ${label}${PLAIN}` : `── ${label}`;
    })
    .join("   ");
  const anything = drawn.some(({ values }) => values.some((value) => value !== undefined));
  return `${anything ? drawChart(drawn, height) : "(no finite values)"}\n  ${legend}`;
}

/** Means over equal intervals, so that a long noisy curve fits without distortion. There is a gap where nothing is finite. */
function resample(values: readonly number[], points: number): (number | undefined)[] {
  const count = Math.min(values.length, points);
  return Array.from({ length: count }, (_, point) => {
    const from = Math.floor((point * values.length) / count);
    const to = Math.max(from + 1, Math.floor(((point + 1) * values.length) / count));
    const stretch = values.slice(from, to).filter(Number.isFinite);
    if (stretch.length === 0) return undefined;
    // Divided first, and held back at the end of float64: a sum of finite values may not be finite.
    const mean = stretch.reduce((sum, value) => sum + value / stretch.length, 0);
    return Math.max(-Number.MAX_VALUE, Math.min(mean, Number.MAX_VALUE));
  });
}
