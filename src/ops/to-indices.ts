// Question: how do numbers become indices?
//
//   f32 → i32, to the nearest. No gradient. to-floats.ts is the way back.

import { apply, type Operation, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export const toIndicesOperation: Operation<["x"], ["indices"]> = {
  name: "toIndices",
  inputs: ["x"],
  outputs: ["indices"],
  infer({ x }) {
    expectShapes(x.dtype === "f32", "toIndices", { x }, `x must be f32, not ${x.dtype}.`);
    return { indices: { shape: x.shape, dtype: "i32" } };
  },
  flops: () => 0,
  reference: ({ x }, { indices }) => indices.each((i) => Math.round(x.at(i))),
};

/** Numbers f32 [...], rounded to the nearest, as indices i32 [...]. */
export function toIndices(x: Tensor): Tensor {
  return apply(toIndicesOperation, { x }).indices;
}
