// The norm of all gradients together, and the factor that clips it (Pascanu et al. 2013, arXiv 1211.5063).
//
//   sumSquares  Σ x²
//   clipScale   norm = √(Σ of the sums),  scale = min(1, limit / (norm + 1e-6))
//
// Shapes: sumSquares [...] → []; clipScale [], [], ... → [2] = norm, scale. No gradients.

import { applyOne, f32, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export const sumSquaresOperation: Operation<["x"], ["total"]> = positional<["x"], ["total"], unknown>({
  name: "sumSquares",
  inputs: ["x"],
  outputs: ["total"],
  infer: () => [f32()],
  flops: ({ inputs: [x] }) => 2 * sizeOf(x!.shape),
  reference([x], [sum]) {
    for (const value of x!.data) sum!.data[0]! += value * value;
  },
});

export interface ClipScaleAttributes {
  /** Largest norm that passes unchanged; Infinity never clips. */
  readonly limit: number;
}

export const clipScaleOperation: Operation<["...sums"], ["clip"], ClipScaleAttributes> = positional<["...sums"], ["clip"], ClipScaleAttributes>({
  name: "clipScale",
  inputs: ["...sums"],
  outputs: ["clip"],
  infer(inputs, { limit }) {
    for (const sum of inputs) {
      expectShapes(
        sizeOf(sum.shape) === 1,
        "clipScale",
        { sum },
        "every input must be one sum of squares, from sumSquares().",
      );
    }
    if (!(limit > 0))
      throw new RangeError(`clipScale: the limit must be positive, got ${limit}; Infinity never clips.`);
    return [f32(2)];
  },
  flops: ({ inputs }) => inputs.length + 4,
  reference(inputs, [out], { limit }) {
    const norm = Math.sqrt(inputs.reduce((sum, { data }) => sum + data[0]!, 0));
    out!.data[0] = norm;
    out!.data[1] = limit === Number.POSITIVE_INFINITY ? 1 : Math.min(1, limit / (norm + 1e-6));
  },
});

/** The sum of the squares of all elements: [...] → []. Has no gradient. */
export function sumSquares(x: Tensor): Tensor {
  return applyOne(sumSquaresOperation, [x], {});
}

/**
 * The norm of everything whose squares were summed, and the factor that brings it to the limit
 * (Pascanu et al. 2013, arXiv 1211.5063). Has no gradient.
 *
 * @param sums one element each, from `sumSquares`
 * @param limit largest norm that passes unchanged; Infinity never clips
 * @returns [2]: the norm before clipping, the factor (1 when the limit is Infinity)
 * @throws RangeError when the limit is not positive; ShapeError when a sum is not one element
 */
export function clipScale(sums: readonly Tensor[], limit: number = Number.POSITIVE_INFINITY): Tensor {
  return applyOne(clipScaleOperation, sums, { limit });
}
