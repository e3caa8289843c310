// Question: what is a tensor of one value everywhere?

import { showValue } from "../basics/show.ts";
import { apply, attributesOf, expectShape, type Operation, type Shape, type Tensor } from "../graph/tensor.ts";

export const fillOperation: Operation<[], ["y"], { readonly shape: Shape; readonly value: number }> = {
  name: "fill",
  inputs: [],
  outputs: ["y"],
  infer: (_inputs, { shape }) => ({ y: { shape, dtype: "f32" } }),
  flops: () => 0,
  reference: (_inputs, { y }, { value }) => void y.data.fill(value),
};

/**
 * A tensor of one value everywhere.
 *
 * @returns f32, of this shape
 * @throws ShapeError when an axis is not a positive whole number
 */
export function fill(shape: Shape, value: number): Tensor {
  expectShape("fill", shape);
  if (typeof value !== "number")
    throw new TypeError(`fill: the value is ${showValue(value)}; it must be a number. Give such as 0.`);
  return apply(fillOperation, {}, { shape: [...shape], value }).y;
}

/**
 * The value that fills a tensor, if it is already known. The gradient of a mean loss is such a tensor. Because its
 * value is known, the backward pass need not wait for anything after the loss.
 */
export function constantOf({ node }: Tensor): number | undefined {
  return attributesOf(fillOperation, node)?.value;
}
