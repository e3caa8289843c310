// Question: has a tensor diverged, and how much of it?
//
//   countNotFinite  the number of elements that are NaN or infinite: [...] → []. No gradient.

import { applyOne, f32, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";

export const countNotFiniteOperation: Operation<["x"], ["count"]> = positional<["x"], ["count"], unknown>({
  name: "countNotFinite",
  inputs: ["x"],
  outputs: ["count"],
  infer: () => [f32()],
  flops: ({ inputs: [x] }) => sizeOf(x!.shape),
  reference([x], [count]) {
    for (const value of x!.data) if (!Number.isFinite(value)) count!.data[0]! += 1;
  },
});

/** How many elements are NaN or infinite: []. */
export function countNotFinite(x: Tensor): Tensor {
  return applyOne(countNotFiniteOperation, [x], {});
}
