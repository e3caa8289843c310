// The same values under another shape, without a copy.
// Shapes: x [...] → any shape of as many elements, in row-major order.

import { applyOne, type Operation, positional, sameShape, type Shape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export const reshapeOperation: Operation<["x"], ["y"], { readonly shape: Shape }> = positional<
  ["x"],
  ["y"],
  { readonly shape: Shape }
>({
  name: "reshape",
  inputs: ["x"],
  outputs: ["y"],
  infer([x], { shape }) {
    expectShapes(
      sizeOf(shape) === sizeOf(x!.shape),
      "reshape",
      { x: x!, "the new shape": shape },
      `the new shape must hold as many elements as x (${sizeOf(x!.shape)}), not ${sizeOf(shape)}.`,
    );
    return [{ shape, dtype: x!.dtype }];
  },
  gradient: ({ inputs: [x] }, [g]) => [reshape(g!, x!.shape)],
  flops: () => 0,
  reference: ([x], [y]) => y!.data.set(x!.data),
});

/**
 * The same elements in the same row-major order under another shape; costs nothing.
 *
 * @returns of this shape
 * @throws ShapeError unless it holds as many elements as x
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : applyOne(reshapeOperation, [x], { shape: [...shape] });
}
