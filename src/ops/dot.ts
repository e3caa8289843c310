// Question: what are the inner loops of the references that take most of their time?
//
// Sums of products along two lines of values, and multiples of one line added to another: by place instead of by
// index, which is several times faster. Everything else reads and writes by index (Values).

import type { Values } from "../graph/tensor.ts";

/** Σ_k a[i + k · stepA] b[j + k · stepB] over `count` values. */
export function dot(a: Values, i: number, b: Values, j: number, count: number, stepA = 1, stepB = 1): number {
  const [x, y] = [a.data, b.data];
  let sum = 0;
  for (let k = 0; k < count; k++) sum += x[i + k * stepA]! * y[j + k * stepB]!;
  return sum;
}

/** target[i + k] += factor · source[j + k] for `count` values. */
export function addScaled(target: Values, i: number, factor: number, source: Values, j: number, count: number): void {
  const [to, from] = [target.data, source.data];
  for (let k = 0; k < count; k++) to[i + k]! += factor * from[j + k]!;
}
