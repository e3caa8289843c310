// Question: how do indices become numbers to calculate with?
//
//   i32 → f32: exact up to 2²⁴ in float32. No gradient. to-indices.ts is the way back.

import { apply, type Operation, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export const toFloatsOperation: Operation<["indices"], ["x"]> = {
  name: "toFloats",
  inputs: ["indices"],
  outputs: ["x"],
  infer({ indices }) {
    expectShapes(indices.dtype === "i32", "toFloats", { indices }, `the indices must be i32, not ${indices.dtype}.`);
    return { x: { shape: indices.shape, dtype: "f32" } };
  },
  flops: () => 0,
  reference: ({ indices }, { x }) => x.data.set(indices.data),
};

/** Indices i32 [...] as f32 [...]. */
export function toFloats(indices: Tensor): Tensor {
  return apply(toFloatsOperation, { indices }).x;
}
