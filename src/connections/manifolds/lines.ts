// Question: how are the rows and columns of a token's matrix summed and scaled, as a graph?
//
// Each is one product with a fixed matrix of zeros and ones. Shapes: H [T, n·n] row-major, lines [T, n].

import { constant } from "../../graph/state.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { matmul } from "../../ops/matmul.ts";
import { transpose } from "../../ops/permute.ts";
import { matrixOf } from "./residual-map.ts";

/** What can be asked of the rows or of the columns of n × n matrices. */
export interface Lines {
  /** H [T, n·n] → the sum of each line [T, n]. */
  sums(H: Tensor): Tensor;
  /** A number for each line [T, n] → that number at every entry of the line [T, n·n]. */
  along(numbers: Tensor): Tensor;
}

function lines(n: number, lineOf: (at: number) => number): Lines {
  const places = constant(
    matrixOf(n, n * n, (line, at) => (lineOf(at) === line ? 1 : 0)),
    [n, n * n],
  );
  return { sums: (H) => matmul(H, transpose(places)), along: (numbers) => matmul(numbers, places) };
}

export const rowsOf = (n: number): Lines => lines(n, (at) => Math.floor(at / n));
export const columnsOf = (n: number): Lines => lines(n, (at) => at % n);
