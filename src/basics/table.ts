// Question: how is a table drawn in a terminal?

/** Lines of cells, each as wide as the widest cell of its column, with two spaces between columns. */
export function alignCells(
  rows: readonly (readonly string[])[],
  alignment: (column: number) => "left" | "right",
): string[] {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows.map((row) =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? "";
        return alignment(column) === "left" ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("  ")
      .trimEnd(),
  );
}

/** A table with a line under its head; the first column is aligned left, the others right. */
export function drawTable(rows: readonly (readonly string[])[]): string {
  const [head = "", ...lines] = alignCells(rows, (column) => (column === 0 ? "left" : "right"));
  const rule = "─".repeat(Math.max(...[head, ...lines].map((line) => line.length)));
  return [head, rule, ...lines].join("\n");
}
