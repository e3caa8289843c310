// Axes in another order, as a copy.
//
//   y[i_axes(0), i_axes(1), ...] = x[i_0, i_1, ...]: axis k of y is axis axes[k] of x

import { applyOne, type Operation, positional, type Shape, showShape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export const permuteOperation: Operation<["x"], ["y"], { readonly axes: readonly number[] }> = positional<
  ["x"],
  ["y"],
  { readonly axes: readonly number[] }
>({
  name: "permute",
  inputs: ["x"],
  outputs: ["y"],
  infer([x], { axes }) {
    const sorted = axes.toSorted((a, b) => a - b);
    expectShapes(
      sorted.length === x!.shape.length && sorted.every((axis, index) => axis === index),
      "permute",
      { x: x! },
      `axes must name each of x's ${x!.shape.length} axes once, not ${showShape(axes)}.`,
    );
    return [{ shape: axes.map((axis) => x!.shape[axis]!), dtype: "f32" }];
  },
  gradient: ({ attributes: { axes } }, [g]) => [
    permute(
      g!,
      axes.map((_, axis) => axes.indexOf(axis)),
    ),
  ],
  flops: () => 0,
  reference([x], [y], { axes }) {
    const strides = permutedStrides(x!.shape, axes);
    for (let i = 0; i < y!.data.length; i++) {
      let rest = i;
      let from = 0;
      for (let axis = axes.length - 1; axis >= 0; axis--) {
        from += (rest % y!.shape[axis]!) * strides[axis]!;
        rest = Math.floor(rest / y!.shape[axis]!);
      }
      y!.data[i] = x!.data[from]!;
    }
  },
});

/** How far apart in x are neighbours along each axis of permute(x, axes). */
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
  const same = axes.length === x.shape.length && axes.every((axis, index) => axis === index);
  return same ? x : applyOne(permuteOperation, [x], { axes: [...axes] });
}
