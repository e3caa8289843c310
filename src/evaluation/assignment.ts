// Question: which pairing of rows and columns has the largest sum?
//
// The Hungarian method by shortest augmenting paths (Jonker and Volgenant 1987), O(n³). DROP pairs the spans of an answer
// with those of the gold answer in this way.

/**
 * Pair rows with columns so that the sum of their scores is as large as possible; min(rows, columns) pairs.
 *
 * @param scores [rows][columns], every row of the same length
 * @returns pairs in the order of the rows
 */
export function bestAssignment(scores: readonly (readonly number[])[]): (readonly [row: number, column: number])[] {
  const columns = scores[0]?.length ?? 0;
  if (scores.length > columns) {
    const turned = Array.from({ length: columns }, (_, column) => scores.map((row) => row[column]!));
    return bestAssignment(turned)
      .map(([column, row]) => [row, column] as const)
      .sort(([a], [b]) => a - b);
  }
  // Prices u of rows and v of columns, both counted from 1; column 0 stands for none.
  const u = new Float64Array(scores.length + 1);
  const v = new Float64Array(columns + 1);
  const rowOf = new Int32Array(columns + 1);
  for (let row = 1; row <= scores.length; row++) {
    const previous = new Int32Array(columns + 1);
    const least = new Float64Array(columns + 1).fill(Infinity);
    const used = new Uint8Array(columns + 1);
    rowOf[0] = row;
    let column = 0;
    while (rowOf[column] !== 0) {
      used[column] = 1;
      const from = rowOf[column]!;
      let [step, next] = [Infinity, 0];
      for (let j = 1; j <= columns; j++) {
        if (used[j]) continue;
        const cost = -scores[from - 1]![j - 1]! - u[from]! - v[j]!;
        if (cost < least[j]!) [least[j], previous[j]] = [cost, column];
        if (least[j]! < step) [step, next] = [least[j]!, j];
      }
      for (let j = 0; j <= columns; j++) {
        if (used[j]) {
          u[rowOf[j]!]! += step;
          v[j]! -= step;
        } else least[j]! -= step;
      }
      column = next;
    }
    while (column !== 0) {
      rowOf[column] = rowOf[previous[column]!]!;
      column = previous[column]!;
    }
  }
  return Array.from(rowOf, (row, column) => [row - 1, column - 1] as const)
    .slice(1)
    .filter(([row]) => row >= 0)
    .sort(([a], [b]) => a - b);
}
