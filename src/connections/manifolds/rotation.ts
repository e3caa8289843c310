// Question: which logits does a rotation take?
//
// A rotation takes the m(m − 1)/2 logits above the diagonal of a skew-symmetric matrix, row by row;
// ops/cayley.ts turns that matrix into the rotation.

import { fill } from "../../ops/fill.ts";
import { rowCount, type Tensor } from "../../graph/tensor.ts";
import { cayley, rotationSize } from "../../ops/cayley.ts";
import { slice } from "../../ops/slice.ts";

/** The rotations [T, m, m] of the logits [T, S] from `start` on. For m = 1 there are no logits and H = 1. */
export function takeRotation(logits: Tensor, start: number, m: number): Tensor {
  return m === 1 ? fill([rowCount(logits.shape), 1, 1], 1) : cayley(slice(logits, 1, start, rotationSize(m)), m);
}

/** Row and column of every logit. */
export function placesAbove(m: number): (readonly [row: number, column: number])[] {
  return Array.from({ length: m }, (_, i) =>
    Array.from({ length: m - 1 - i }, (_, k) => [i, i + 1 + k] as const),
  ).flat();
}
