// Question: has a tensor diverged, and how much of it?
//
//   countNotFinite  the number of elements that are NaN or infinite: [...] → []. No gradient.

import { apply, f32, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { negate, shift } from "./elementwise.ts";
import { finite } from "./masks.ts";
import { sum } from "./reductions.ts";

export const countNotFiniteOperation: Operation<["x"], ["count"]> = {
  name: "countNotFinite",
  inputs: ["x"],
  outputs: ["count"],
  infer: () => ({ count: f32() }),
  flops: ({ x }) => sizeOf(x.shape),
  reference({ x }, { count }) {
    for (const value of x.data) if (!Number.isFinite(value)) count.add(0, 1);
  },
  compose: ({ x }) => ({ count: sum(shift(negate(finite(x)), 1)) }),
};

/** How many elements are NaN or infinite: []. */
export function countNotFinite(x: Tensor): Tensor {
  return apply(countNotFiniteOperation, { x }).count;
}
