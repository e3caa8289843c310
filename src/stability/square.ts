// Question: is a list of numbers a square matrix?

import { MOST_WIDTH } from "../basics/bounds.ts";
import { expectWhole } from "../basics/ranges.ts";

/** Throw unless there are n² numbers: of fewer every result would be NaN. */
export function expectSquare(operation: string, { length }: ArrayLike<number>, n: number): void {
  expectWhole(operation, "n", n, 1, MOST_WIDTH);
  if (length !== n * n)
    throw new RangeError(
      `${operation}: the matrix has ${length} numbers; for n = ${n} it must have ${n * n}. Give them row after row.`,
    );
}
