// Question: how are the axes of a tensor put into another order?
//
//   y[i_axes(0), i_axes(1), ...] = x[i_0, i_1, ...]: axis k of y is axis axes[k] of x

import { expectList } from "../basics/fields.ts";
import { apply, type Operation, type Shape, showShape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export interface PermuteAttributes {
  /** For each axis of the result, which axis of x it is. */
  readonly axes: readonly number[];
}

export const permuteOperation: Operation<["x"], ["y"], PermuteAttributes> = {
  name: "permute",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }, { axes }) {
    const sorted = axes.toSorted((a, b) => a - b);
    expectShapes(
      sorted.length === x.shape.length && sorted.every((axis, index) => axis === index),
      "permute",
      { x },
      `axes must name each of x's ${x.shape.length} axes once, not ${showShape(axes)}.`,
    );
    return { y: { shape: axes.flatMap((axis) => x.shape[axis] ?? []), dtype: "f32" } };
  },
  gradient: (_tensors, { y: g }, { axes }) => ({
    x: permute(
      g,
      axes.map((_, axis) => axes.indexOf(axis)),
    ),
  }),
  flops: () => 0,
  reference({ x }, { y }, { axes }) {
    // The axes of y from the last to the first: their lengths, and their strides in x.
    const steps = permutedStrides(x.shape, axes)
      .map((stride, axis) => ({ stride, size: y.shape[axis] ?? 1 }))
      .reverse();
    y.each((i) => {
      let rest = i;
      let from = 0;
      for (const { stride, size } of steps) {
        from += (rest % size) * stride;
        rest = Math.floor(rest / size);
      }
      return x.at(from);
    });
  },
};

/** The stride in x of each axis of permute(x, axes). */
export function permutedStrides(shape: Shape, axes: readonly number[]): number[] {
  return axes.map((axis) => sizeOf(shape.slice(axis + 1)));
}

/**
 * Put the axes in another order.
 *
 * @param axes for each axis of the result, which axis of x it is; [1, 0] transposes a matrix
 * @returns the same elements, axis k being axis axes[k] of x
 * @throws ShapeError unless axes names each axis once
 */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  expectList("permute", "axes", axes, "axes, such as [1, 0]");
  const same = axes.length === x.shape.length && axes.every((axis, index) => axis === index);
  return same ? x : apply(permuteOperation, { x }, { axes: [...axes] }).y;
}

/** Exchange the last two axes: matrices [..., M, N] → [..., N, M]. */
export function transpose(x: Tensor): Tensor {
  const axes = x.shape.map((_, axis) => axis);
  return permute(x, [...axes.slice(0, -2), ...axes.slice(-2).reverse()]);
}
