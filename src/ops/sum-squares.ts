// Question: what is the square of a tensor's norm?
//
//   Σ x²: [...] → []. No gradient.

import { apply, f32, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { square } from "./elementwise.ts";
import { sum } from "./reductions.ts";

export const sumSquaresOperation: Operation<["x"], ["total"]> = {
  name: "sumSquares",
  inputs: ["x"],
  outputs: ["total"],
  infer: () => ({ total: f32() }),
  flops: ({ x }) => 2 * sizeOf(x.shape),
  reference({ x }, { total }) {
    for (const value of x.data) total.add(0, value * value);
  },
  compose: ({ x }) => ({ total: sum(square(x)) }),
};

/** The sum of the squares of all elements: [...] → []. Has no gradient. */
export function sumSquares(x: Tensor): Tensor {
  return apply(sumSquaresOperation, { x }).total;
}
