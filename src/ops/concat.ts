// Question: what are tensors joined along one axis, in order?
//
// Shapes: x1 [..., N1, ...], x2 [..., N2, ...], ... → [..., N1 + N2 + ..., ...].

import { apply, type Operation, sameShape, type Tensor, type TensorSpec } from "../graph/tensor.ts";
import { add } from "./elementwise.ts";
import { expectShapes } from "./shapes.ts";
import { axisSize, copyPart, expectAxis, place, slice } from "./slice.ts";

export interface ConcatAttributes {
  readonly axis: number;
}

/** Each part with its start, and the end of the last part. */
function alongAxis<T extends Pick<TensorSpec, "shape">>(
  parts: readonly T[],
  axis: number,
): { placed: readonly { readonly part: T; readonly start: number; readonly size: number }[]; total: number } {
  let total = 0;
  const placed = parts.map((part) => {
    const start = total;
    const size = axisSize(part, axis);
    total += size;
    return { part, start, size };
  });
  return { placed, total };
}

export const concatOperation: Operation<["...parts"], ["y"], ConcatAttributes> = {
  name: "concat",
  inputs: ["...parts"],
  outputs: ["y"],
  infer({ parts }, { axis }) {
    const [first] = parts;
    const operands = Object.fromEntries(parts.map((x, index) => [`x${index + 1}`, x]));
    expectShapes(first !== undefined, "concat", {}, "it needs at least one tensor.");
    expectAxis("concat", first.shape, axis);
    expectShapes(
      parts.every(
        ({ shape }) => shape.length === first.shape.length && sameShape(shape.with(axis, 1), first.shape.with(axis, 1)),
      ),
      "concat",
      operands,
      `the tensors may differ only in axis ${axis}.`,
    );
    return { y: { shape: first.shape.with(axis, alongAxis(parts, axis).total), dtype: "f32" } };
  },
  gradient: ({ parts }, { y: g }, { axis }) => ({
    parts: alongAxis(parts, axis).placed.map(({ start, size }) => slice(g, axis, start, size)),
  }),
  flops: () => 0,
  reference({ parts }, { y }, { axis }) {
    for (const { part, start } of alongAxis(parts, axis).placed) copyPart(part, 0, y, start, axis);
  },
  compose({ parts }, { axis }) {
    const { placed, total } = alongAxis(parts, axis);
    return { y: placed.map(({ part, start }) => place(part, axis, start, total)).reduce(add) };
  },
};

/**
 * Tensors joined along an axis, in order.
 *
 * @param tensors alike in all axes but this one
 * @returns [..., N1 + N2 + ..., ...]
 * @throws ShapeError when another axis differs, the axis does not exist or there is no tensor
 */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  return apply(concatOperation, { parts: tensors }, { axis }).y;
}
