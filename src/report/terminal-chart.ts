// Question: how are curves drawn with characters?
//
// A row is a step of the vertical axis; a column leads from one point to the next. Lines turn with ╭ ╮ ╰ ╯, as asciichart
// by Igor Kroitor draws them, and begin with ┼ at the axis. A missing value leaves a gap: the line ends with ╴ and begins
// again with ╶. Where several curves have no colours, each is drawn with its letter, which tells them apart.

/** One curve; a value is undefined in a gap. */
export interface DrawnCurve {
  readonly values: readonly (number | undefined)[];
  /** Colours a character. */
  readonly ink?: (character: string) => string;
  /** Stands for every value in place of a line. */
  readonly letter?: string;
}

const LABEL = 11;
/** Columns to the left of the first value: a label, a space and the axis. */
export const AXIS_WIDTH: number = LABEL + 2;

/**
 * @param height rows from the smallest to the largest value; there must be at least one value
 * @param end what stands at the right end of the horizontal axis; without it there is no such axis
 */
export function drawChart(curves: readonly DrawnCurve[], height: number, end?: string): string {
  const known = curves.flatMap(({ values }) => values.filter((value) => value !== undefined));
  const least = known.reduce((a, b) => Math.min(a, b));
  const most = known.reduce((a, b) => Math.max(a, b));
  const share = most > least ? height / (most - least) : 1;
  const perRow = Number.isFinite(share) ? share : 1;
  // Rows are counted from zero; where that is too many rows away to be counted, from the smallest value.
  const origin = Math.max(Math.abs(least), Math.abs(most)) * perRow < 2 ** 40 ? 0 : least;
  const rowFrom = (value: number): number => Math.round((value - origin) * perRow);
  const bottom = rowFrom(least);
  const rows = rowFrom(most) - bottom;
  const width = Math.max(...curves.map(({ values }) => values.length));
  const cells = Array.from({ length: rows + 1 }, () => Array<string>(width).fill(" "));
  const labels = cells.map((_, row) => {
    const value = rows > 0 ? most - (row * (most - least)) / rows : most;
    return `${value.toFixed(2).padStart(LABEL).slice(-LABEL)} `;
  });
  const axis = cells.map(() => "┤");
  for (const { values, ink = (character: string): string => character, letter } of curves) {
    const rowOf = (value: number | undefined): number | undefined =>
      value === undefined ? undefined : rows - (rowFrom(value) - bottom);
    const start = rowOf(values[0]);
    if (start !== undefined) axis[start] = ink("┼");
    if (letter !== undefined) {
      for (const [x, value] of values.entries()) {
        const row = rowOf(value);
        if (row !== undefined) cells[row]![x] = ink(letter);
      }
      continue;
    }
    for (let x = 0; x + 1 < values.length; x++) {
      const [from, to] = [rowOf(values[x]), rowOf(values[x + 1])];
      const put = (row: number, character: string): void => void (cells[row]![x] = ink(character));
      if (from === undefined || to === undefined) {
        if (from !== undefined) put(from, "╴");
        if (to !== undefined) put(to, "╶");
        continue;
      }
      if (from === to) {
        put(from, "─");
        continue;
      }
      put(to, from < to ? "╰" : "╭");
      put(from, from < to ? "╮" : "╯");
      for (let row = Math.min(from, to) + 1; row < Math.max(from, to); row++) put(row, "│");
    }
  }
  const lines = cells.map((line, row) => `${labels[row]}${axis[row]}${line.join("")}`);
  if (end !== undefined) {
    const room = Math.max(width, end.length + 1);
    lines.push(`${" ".repeat(LABEL + 1)}└${"─".repeat(room)}`, `${" ".repeat(AXIS_WIDTH)}1${end.padStart(room - 1)}`);
  }
  return lines.join("\n");
}

const BETWEEN = "   ";

/**
 * Entries of a legend, beside each other as far as they fit.
 *
 * @param entries their texts, and how long they are without colours
 */
export function legendLines(
  entries: readonly { readonly length: number; readonly text: string }[],
  width: number,
  indent = "  ",
): string {
  // In a narrow place the legend begins at the left.
  const start = Math.max(...entries.map(({ length }) => length)) + indent.length > width ? "  " : indent;
  const lines: { length: number; text: string }[] = [];
  for (const { length, text } of entries) {
    const line = lines.at(-1);
    if (line && line.length + BETWEEN.length + length <= width) {
      line.length += BETWEEN.length + length;
      line.text += BETWEEN + text;
    } else lines.push({ length: start.length + length, text: start + text });
  }
  return lines.map(({ text }) => text).join("\n");
}
