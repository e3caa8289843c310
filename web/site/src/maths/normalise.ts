// Question: what does Sinkhorn-Knopp do to one matrix, step by step?
//
// Every number is the library's: the iterates and the order of ops/sinkhorn.ts (columns first, rows last, as in Eq. 9 of
// mHC), the limit of ops/birkhoff-projection.ts.

import { normal, streams } from "../../../../src/data/random.ts";
import { input } from "../../../../src/graph/state.ts";
import { permute } from "../../../../src/ops/permute.ts";
import { sumLast } from "../../../../src/ops/reductions.ts";
import { sinkhornIterates } from "../../../../src/ops/sinkhorn.ts";
import { evaluate } from "../../../../src/runtime/reference/evaluate.ts";
import { project } from "./mixers.ts";

/** The iterations that the page can show. */
export const MOST = 100;

/** A matrix's sums along both of its axes. */
export interface Sums {
  readonly rows: readonly number[];
  readonly columns: readonly number[];
}

/** The sums of matrices [count, n²], each row-major. */
export function sumsOfAll(matrices: readonly ArrayLike<number>[], n: number): Sums[] {
  const given = input("matrices", [matrices.length, n, n]);
  const values = Float64Array.from(matrices.flatMap((matrix) => Array.from(matrix)));
  const outputs = { rows: sumLast(given), columns: sumLast(permute(given, [0, 2, 1])) };
  const { rows, columns } = evaluate(outputs, [[given, values]]);
  const part = (sums: Float64Array, at: number): number[] => Array.from(sums.subarray(at * n, (at + 1) * n));
  return matrices.map((_, at) => ({ rows: part(rows, at), columns: part(columns, at) }));
}

/** The sums of one matrix. */
export const sumsOf = (matrix: ArrayLike<number>, n: number): Sums => sumsOfAll([matrix], n)[0]!;

/** How far the sum farthest from one is from one. */
export const farthest = (sums: readonly number[]): number => Math.max(...sums.map((sum) => Math.abs(sum - 1)));

/** The way of one matrix: the 2T + 1 iterates, their sums, and where they would end. */
export interface Way {
  /** exp(L), then columns, rows, columns, … normalised; a column of the first is scaled so that its largest entry is one. */
  readonly iterates: readonly Float64Array[];
  readonly sums: readonly Sums[];
  /** The exact projection. */
  readonly limit: Float64Array;
}

/** Follow Sinkhorn-Knopp for `iterations`. */
export function wayOf(logits: Float64Array, n: number, iterations: number = MOST): Way {
  const iterates = sinkhornIterates(logits, n, iterations);
  return { iterates, sums: sumsOfAll(iterates, n), limit: project(logits, n, "exact") };
}

/** After every whole iteration from the first: how far the farthest column sum is from one. */
export const columnErrors = (sums: readonly Sums[]): number[] =>
  sums.flatMap(({ columns }, at) => (at > 0 && at % 2 === 0 ? [farthest(columns)] : []));

/** Random logits of standard deviation one. */
export function randomLogits(seed: number, n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, at) => normal(seed, streams.probing, at));
}

/** The error of the columns after each iteration up to `most`, for one matrix of random logits. */
export function errorsOf(seed: number, n: number, spread: number, most: number): number[] {
  const logits = randomLogits(seed, n).map((value) => spread * value);
  return columnErrors(sumsOfAll(sinkhornIterates(logits, n, most), n));
}

/** The value below which a share of the values lies, which are sorted. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}
