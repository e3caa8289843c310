// Question: how do attention heads mix each other's values or scores?
//
// Each token has a matrix M, n × n for n heads, row = the head that gets the mixture (model/head-mixing.ts). Doubly
// stochastic, it keeps what all heads share and forgets some of what they differ by; near the identity heads stay apart.

import { secondModulus, sumErrors } from "./measure.ts";

/** What the matrices of a layer's tokens show. */
export interface HeadUse {
  /** Largest |row sum − 1| and |column sum − 1| of any matrix. */
  readonly rowError: number;
  readonly columnError: number;
  /** Mean |λ₂|. */
  readonly second: number;
  /** Mean tr M / n: 1 where each head keeps its own, 1/n where all heads get the mean. */
  readonly own: number;
}

/** @param matrices [tokens, n, n] of the values, of the logits, or of both: the worst error, and the mean of all */
export function measureHeads(matrices: readonly (readonly [values: ArrayLike<number>, n: number])[]): HeadUse {
  let [rowError, columnError, second, own, count] = [0, 0, 0, 0, 0];
  for (const [values, n] of matrices)
    for (let from = 0; from < values.length; from += n * n) {
      const matrix = Float64Array.from({ length: n * n }, (_, at) => values[from + at]!);
      const { row, column } = sumErrors(matrix, n);
      [rowError, columnError] = [Math.max(rowError, row), Math.max(columnError, column)];
      second += secondModulus(matrix, n);
      for (let head = 0; head < n; head++) own += matrix[head * n + head]! / n;
      count++;
    }
  return { rowError, columnError, second: second / count, own: own / count };
}
