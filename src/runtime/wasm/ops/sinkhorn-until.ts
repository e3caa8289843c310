// Question: how does the CPU iterate until a matrix is doubly stochastic?
//
// One item a matrix; eight share the lanes of the vectors, and each stops for itself.

import { lastAxis, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import {
  type SinkhornUntilAttributes,
  sinkhornUntilBackwardOperation,
  sinkhornUntilOperation,
} from "../../../ops/sinkhorn-until.ts";
import type { Words } from "../call.ts";
import { LANES, SCRATCH_BYTES } from "../constants.ts";
import { type Implementation, rowwise } from "../implement.ts";

/** Values of eight lanes that the scratch holds. */
const VALUES = SCRATCH_BYTES / (4 * LANES);

function words(logits: Tensor, { tolerance, most }: SinkhornUntilAttributes): Words<"sinkhornUntil"> {
  const n = lastAxis(logits.shape);
  const fit = Math.max(0, Math.floor((VALUES - 2 * n * n) / (2 * n + 1)) - 1);
  if (most > fit)
    throw new RangeError(
      `sinkhornUntil: most is ${most} for matrices of ${n} × ${n}; the CPU runtime does ${fit} iterations at most; use ${fit > 0 ? "a smaller most" : "smaller matrices"}.`,
    );
  return { n, most, tolerance };
}

const matrices = (logits: Tensor): number => sizeOf(logits.shape.slice(0, -2));

export const sinkhornUntil: readonly Implementation[] = [
  rowwise(sinkhornUntilOperation, "sinkhornUntil", {
    rows: ({ logits }) => matrices(logits),
    inPlace: { h: "logits" },
    words: ({ logits }, attributes) => words(logits, attributes),
  }),
  rowwise(sinkhornUntilBackwardOperation, "sinkhornUntilBackward", {
    rows: ({ logits }) => matrices(logits),
    inPlace: { dlogits: "logits" },
    words: ({ logits }, attributes) => words(logits, attributes),
  }),
];
