// Question: by how much can a matrix stretch or shrink a vector?
//
// The singular values of a small matrix, by one-sided Jacobi rotations: pairs of columns are turned in their plane
// until all columns are orthogonal; their lengths are then the singular values. The first is the spectral norm.

import { expectSquare } from "./square.ts";

/**
 * The singular values of a small matrix, largest first, by one-sided Jacobi rotations in float64.
 *
 * @param matrix n × n, row-major
 * @returns n values; the first is the spectral norm
 */
export function singularValues(matrix: ArrayLike<number>, n: number): number[] {
  expectSquare("singularValues", matrix, n);
  const columns = Array.from({ length: n }, (_, j) => Array.from({ length: n }, (_row, i) => matrix[i * n + j]!));
  for (let sweep = 0; sweep < 12; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const [a, b] = [columns[p]!, columns[q]!];
        const along = dot(a, b);
        if (along === 0) continue;
        const angle = 0.5 * Math.atan((2 * along) / (dot(b, b) - dot(a, a)));
        columns[p] = a.map((value, i) => Math.cos(angle) * value - Math.sin(angle) * b[i]!);
        columns[q] = a.map((value, i) => Math.sin(angle) * value + Math.cos(angle) * b[i]!);
      }
    }
  }
  return columns.map((column) => Math.hypot(...column)).sort((a, b) => b - a);
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, k) => sum + value * b[k]!, 0);
}
