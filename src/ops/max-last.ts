// Question: what is the largest entry of each row?
//
//   y = max_c x_c                                x [..., C] → [...]
//
// It has no gradient: composed forms only subtract it from a row and add it back to prevent overflow, so it cancels.

import { apply, lastAxis, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export const maxLastOperation: Operation<["x"], ["y"]> = {
  name: "maxLast",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }) {
    expectShapes(x.shape.length >= 1 && x.dtype === "f32", "maxLast", { x }, "x must be f32 and have an axis.");
    return { y: { shape: x.shape.slice(0, -1), dtype: "f32" } };
  },
  flops: ({ x }) => sizeOf(x.shape),
  reference({ x }, { y }) {
    const C = lastAxis(x.shape);
    y.each((row) => x.data.subarray(row * C, (row + 1) * C).reduce((a, b) => Math.max(a, b)));
  },
};

/**
 * The largest entry of each row: [..., C] → [...]. It has no gradient.
 *
 * @throws ShapeError when x is a scalar
 */
export function maxLast(x: Tensor): Tensor {
  return apply(maxLastOperation, { x }).y;
}
