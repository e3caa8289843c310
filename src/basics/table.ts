// Question: How does a table look in a terminal?

/** Lines of cells that are as wide as the widest of their column, two spaces between them. */
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

/** The first column left, the others right, a line under the head. */
export function drawTable(rows: readonly (readonly string[])[]): string {
  const [head = "", ...lines] = alignCells(rows, (column) => (column === 0 ? "left" : "right"));
  const rule = "─".repeat(Math.max(...[head, ...lines].map((line) => line.length)));
  return [head, rule, ...lines].join("\n");
}
