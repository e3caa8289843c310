// Question: what is the gradient of a loss?
//
// graph/gradients.ts walks the graph. This file supplies the operations that the walk needs: 1 to begin with, sums
// where a tensor was used more than once, and 0 where the loss does not depend on a tensor.

import { expectList } from "../basics/fields.ts";
import { pullBack } from "../graph/gradients.ts";
import { ShapeError, showShape, sizeOf, type Tensor, expectTensor } from "../graph/tensor.ts";
import { add } from "./elementwise.ts";
import { fill } from "./fill.ts";

/**
 * Gradients of a scalar loss with respect to tensors of its graph.
 *
 * @param loss a tensor with one element
 * @param wrt tensors the loss depends on
 * @returns one gradient per tensor of `wrt`, of its shape; zeros where the loss does not depend on it
 * @throws ShapeError when the loss is not one element; Error when a path crosses an operation without gradient
 */
export function gradients(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  expectTensor("gradients", "loss", loss);
  expectList("gradients", "wrt", wrt, "tensors");
  for (const [at, tensor] of wrt.entries()) expectTensor("gradients", `wrt[${at}]`, tensor);
  if (sizeOf(loss.shape) !== 1) {
    throw new ShapeError(
      `gradients: the loss must have one element, got ${showShape(loss.shape)}. Reduce it with sum() or mean().`,
    );
  }
  return gradientsFrom([[loss, fill(loss.shape, 1)]], wrt);
}

/**
 * Gradients, given the gradients of some results.
 *
 * @param seeds each result and its gradient, of its shape
 * @param wrt tensors the results depend on
 * @param boundary tensors at which the walk stops (default: none)
 * @returns one gradient per tensor of `wrt`, of its shape; zeros where no result depends on it
 * @throws Error when a path crosses an operation without gradient
 */
export function gradientsFrom(
  seeds: readonly (readonly [result: Tensor, gradient: Tensor])[],
  wrt: readonly Tensor[],
  boundary: readonly Tensor[] = [],
): Tensor[] {
  const results = pullBack(seeds, wrt, add, boundary);
  return wrt.map((tensor, index) => results[index] ?? fill(tensor.shape, 0));
}
