// Question: what is the norm of all gradients together, and the factor that clips it (Pascanu et al. 2013,
// arXiv 1211.5063)?
//
//   norm = √(Σ of the sums),  scale = min(1, limit / (norm + 1e-6))
//
// Shapes: [], [], ... → [2] = norm, scale. No gradient.

import { expectList } from "../basics/fields.ts";
import { apply, f32, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { adamwRules } from "./adamw-rules.ts";
import { concat } from "./concat.ts";
import { add, reciprocal, scale, shift, sqrt } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { reshape } from "./reshape.ts";
import { select } from "./select.ts";
import { expectShapes } from "./shapes.ts";

export interface ClipScaleAttributes {
  /** Largest norm that passes unchanged; Infinity never clips. */
  readonly limit: number;
}

export const clipScaleOperation: Operation<["...sums"], ["clip"], ClipScaleAttributes> = {
  name: "clipScale",
  inputs: ["...sums"],
  outputs: ["clip"],
  infer({ sums }, { limit }) {
    for (const sum of sums) {
      expectShapes(
        sizeOf(sum.shape) === 1,
        "clipScale",
        { sum },
        "every input must be one sum of squares, from sumSquares().",
      );
    }
    if (!adamwRules.clip.fits(limit))
      throw new RangeError(`clipScale: the limit is ${limit}; it must be ${adamwRules.clip.allowed}.`);
    return { clip: f32(2) };
  },
  flops: ({ sums }) => sums.length + 4,
  reference({ sums }, { clip }, { limit }) {
    const norm = Math.sqrt(sums.reduce((total, sum) => total + sum.at(0), 0));
    clip.set(0, norm);
    clip.set(1, limit === Number.POSITIVE_INFINITY ? 1 : Math.min(1, limit / (norm + 1e-6)));
  },
  compose({ sums }, { limit }) {
    const norm = sqrt(sums.map((sum) => reshape(sum, [1])).reduce(add, fill([1], 0)));
    if (limit === Number.POSITIVE_INFINITY) return { clip: concat([norm, fill([1], 1)], 0) };
    const factor = scale(reciprocal(shift(norm, 1e-6)), limit);
    // The smaller of the factor and 1. A NaN stays a NaN.
    return { clip: concat([norm, select(shift(factor, -1), fill([1], 1), factor)], 0) };
  },
};

/**
 * The norm of all tensors whose squares were summed, and the factor that brings it down to the limit
 * (Pascanu et al. 2013, arXiv 1211.5063). It has no gradient.
 *
 * @param sums one element each, from `sumSquares`
 * @param limit largest norm that passes unchanged; Infinity never clips
 * @returns [2]: the norm before clipping, the factor (1 when the limit is Infinity)
 * @throws RangeError when the limit is not positive or there are no sums; ShapeError when a sum is not one element
 */
export function clipScale(sums: readonly Tensor[], limit: number = Number.POSITIVE_INFINITY): Tensor {
  expectList("clipScale", "sums", sums, "sums of squares, from sumSquares()");
  if (sums.length === 0)
    throw new RangeError(
      "clipScale: there are no sums; nothing has a norm. Give one for each gradient, from sumSquares().",
    );
  return apply(clipScaleOperation, { sums }, { limit }).clip;
}
