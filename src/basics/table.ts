// Question: how is a table drawn in a terminal, whatever its width?
//
// A table that does not fit is never cut by the terminal in the middle of a row. What helps is tried in this order, and
// nothing is left out:
//
//   1. titles of columns break at their spaces, into two lines
//   2. rows become columns, where there are few rows; else titles break into three lines
//   3. columns stand in bands one below the other, each with the names of the rows
//   4. every row is a block of its own, a line for each cell, with long cells broken at their spaces

type Row = readonly string[];
type Alignment = (column: number) => "left" | "right";

/** Lines of cells, each as wide as the widest cell of its column, with two spaces between columns. */
export function alignCells(rows: readonly Row[], alignment: Alignment): string[] {
  const widths = widthsOf(rows);
  return rows.map((row) =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? "";
        return alignment(column) === "left" ? cell.padEnd(width) : cell.padStart(width);
      })
      .join(GAP)
      .trimEnd(),
  );
}

const GAP = "  ";

const widthsOf = (rows: readonly Row[]): number[] =>
  Array.from({ length: Math.max(...rows.map((row) => row.length)) }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );

const total = (widths: readonly number[]): number =>
  widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length);

export interface TableLook {
  /** Columns of the terminal; without it the table is as wide as it is. */
  readonly width?: number | undefined;
  /** How many columns name a row; they stand in every band. */
  readonly labels?: number;
}

/**
 * A table with a line under its titles; the columns that name a row are aligned left, the others right.
 *
 * @param rows the titles, then the rows; all have the same columns
 */
export function drawTable(
  rows: readonly Row[],
  { width = Number.POSITIVE_INFINITY, labels = 1 }: TableLook = {},
): string {
  return (
    whole(rows, labels, width) ??
    narrowTitles(rows, labels, width, 2) ??
    turned(rows, labels, width) ??
    narrowTitles(rows, labels, width) ??
    bands(rows, labels, width) ??
    blocks(rows, labels, width)
  );
}

function whole(rows: readonly Row[], labels: number, width: number, titleLines = 1): string | undefined {
  if (total(widthsOf(rows)) > width) return undefined;
  const lines = alignCells(rows, (column) => (column < labels ? "left" : "right"));
  const rule = "─".repeat(Math.max(...lines.map((line) => line.length)));
  return [...lines.slice(0, titleLines), rule, ...lines.slice(titleLines)].join("\n");
}

/** Titles of more lines than this are harder to read than what comes next. */
const MOST_TITLE_LINES = 3;

function narrowTitles(
  [titles = [], ...body]: readonly Row[],
  labels: number,
  width: number,
  most = MOST_TITLE_LINES,
): string | undefined {
  if (body.length === 0) return undefined;
  const cells = widthsOf(body);
  const broken = titles.map((title, column) => {
    const longest = Math.max(...title.split(" ").map((word) => word.length));
    return wrapText(title, Math.max(cells[column] ?? 0, longest)).split("\n");
  });
  const height = Math.max(...broken.map((lines) => lines.length));
  if (height > most) return undefined;
  const heads = Array.from({ length: height }, (_, line) =>
    broken.map((lines) => lines[line - height + lines.length] ?? ""),
  );
  return whole([...heads, ...body], labels, width, height);
}

function turned(rows: readonly Row[], labels: number, width: number): string | undefined {
  const names = rows.map((row) => row.slice(0, labels).join(" "));
  const columns = rows[0]!.map((_, column) => rows.map((row) => row[column] ?? "")).slice(labels);
  return whole([names, ...columns], 1, width);
}

function bands(rows: readonly Row[], labels: number, width: number): string | undefined {
  const fits = (columns: readonly number[]): string | undefined => {
    const band = rows.map((row) => [...row.slice(0, labels), ...columns.map((column) => row[column] ?? "")]);
    return whole(band, labels, width) ?? narrowTitles(band, labels, width);
  };
  const drawn: string[] = [];
  const last = rows[0]!.length;
  for (let from = labels, to = from; from < last; from = to) {
    let band: string | undefined;
    for (; to < last; to++) {
      const more = fits(Array.from({ length: to + 1 - from }, (_, index) => from + index));
      if (more === undefined) break;
      band = more;
    }
    if (band === undefined) return undefined;
    drawn.push(band);
  }
  return drawn.length === 0 ? undefined : drawn.join("\n\n");
}

function blocks([titles = [], ...body]: readonly Row[], labels: number, width: number): string {
  const names = titles.slice(labels);
  const indent = Math.min(Math.max(0, ...names.map((name) => name.length)), Math.floor(width / 3)) + 2 * GAP.length;
  return body
    .map((row) =>
      [
        ...(labels === 0 ? [] : [wrapText(row.slice(0, labels).join(" "), width)]),
        ...names.flatMap((name, index) => {
          const cell = row[labels + index] ?? "";
          if (cell === "") return [];
          const label = `${GAP}${name}`;
          const text = wrapText(cell, width - indent).split("\n");
          const first = label.length + GAP.length <= indent ? [] : [label];
          const lead = first.length > 0 ? " ".repeat(indent) : label.padEnd(indent);
          return [...first, ...text.map((line, at) => `${at === 0 ? lead : " ".repeat(indent)}${line}`)];
        }),
      ].join("\n"),
    )
    .join("\n\n");
}

/**
 * Text whose lines break at spaces, so that none is longer than the width; a word that is longer keeps its line. Lines
 * that follow a break begin as far in as the line that they go on.
 */
export function wrapText(text: string, width: number): string {
  return text
    .split("\n")
    .map((line) => (line.length <= width ? line : wrapLine(line, width)))
    .join("\n");
}

/**
 * A table whose last column is text, aligned left: the text of a line that is too long goes on below its beginning.
 *
 * @param table lines, of which the first holds the titles
 */
export function wrapLastColumn(table: string, width: number): string {
  const [titles = "", ...rows] = table.split("\n");
  const column = titles.search(/\S+$/);
  const indent = " ".repeat(width - column < LEAST_TEXT ? 2 * GAP.length : Math.max(0, column));
  return [titles, ...rows].map((row) => (row.length <= width ? row : wrapLine(row, width, indent))).join("\n");
}

const LEAST_TEXT = 16;

function wrapLine(line: string, width: number, indent = /^ */.exec(line)![0]): string {
  const lines: string[] = [];
  let rest = line;
  while (rest.length > width) {
    // At the last space that leaves something on the line.
    const start = rest.search(/\S/);
    const within = rest.lastIndexOf(" ", width);
    const at = within > start ? within : rest.indexOf(" ", Math.max(start, width));
    if (at < 0) break;
    lines.push(rest.slice(0, at).trimEnd());
    rest = indent + rest.slice(at).trimStart();
  }
  return [...lines, rest].join("\n");
}
