// Question: what are the same values under another shape?
//
// No copy is made. Shapes: x [...] → any shape of as many elements, in row-major order.

import { apply, type Operation, sameShape, type Shape, sizeOf, type Tensor, expectTensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export interface ReshapeAttributes {
  readonly shape: Shape;
}

export const reshapeOperation: Operation<["x"], ["y"], ReshapeAttributes> = {
  name: "reshape",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }, { shape }) {
    expectShapes(
      sizeOf(shape) === sizeOf(x.shape),
      "reshape",
      { x, "the new shape": shape },
      `the new shape must hold as many elements as x (${sizeOf(x.shape)}), not ${sizeOf(shape)}.`,
    );
    return { y: { shape, dtype: x.dtype } };
  },
  gradient: ({ x }, { y: g }) => ({ x: reshape(g, x.shape) }),
  flops: () => 0,
  reference: ({ x }, { y }) => y.data.set(x.data),
};

/**
 * The same elements in the same row-major order, with another shape. It costs nothing.
 *
 * @returns of this shape
 * @throws ShapeError unless it holds as many elements as x
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  expectTensor("reshape", "x", x);
  return sameShape(x.shape, shape) ? x : apply(reshapeOperation, { x }, { shape: [...shape] }).y;
}
