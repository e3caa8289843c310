// Question: how are curves drawn with characters?
//
// A row is a step of the vertical axis; a column leads from one point to the next. Lines turn with ╭ ╮ ╰ ╯, as asciichart
// by Igor Kroitor draws them, and begin with ┼ at the axis. A missing value leaves a gap: the line ends with ╴ and begins
// again with ╶.

/** One curve; a value is undefined in a gap. The colour is the terminal code that precedes each character. */
export interface DrawnCurve {
  readonly values: readonly (number | undefined)[];
  readonly colour?: string;
}

const PLAIN = "\x1b[0m";
const LABEL = 11;

/** @param height rows from the smallest to the largest value; there must be at least one value */
export function drawChart(curves: readonly DrawnCurve[], height: number): string {
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
  for (const { values, colour } of curves) {
    const ink = (character: string): string => (colour === undefined ? character : colour + character + PLAIN);
    const rowOf = (value: number | undefined): number | undefined =>
      value === undefined ? undefined : rows - (rowFrom(value) - bottom);
    const start = rowOf(values[0]);
    if (start !== undefined) axis[start] = ink("┼");
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
  return cells.map((line, row) => `${labels[row]}${axis[row]}${line.join("")}`).join("\n");
}
