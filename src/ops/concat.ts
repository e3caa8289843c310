// Tensors joined along one axis, in order.
// Shapes: x1 [..., N1, ...], x2 [..., N2, ...], ... → [..., N1 + N2 + ..., ...].

import { applyOne, type Operation, positional, sameShape, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";
import { copyPart, expectAxis, slice } from "./slice.ts";

export const concatOperation: Operation<["...parts"], ["y"], { readonly axis: number }> = positional<
  ["...parts"],
  ["y"],
  { readonly axis: number }
>({
  name: "concat",
  inputs: ["...parts"],
  outputs: ["y"],
  infer(inputs, { axis }) {
    const [first] = inputs;
    const operands = Object.fromEntries(inputs.map((x, index) => [`x${index + 1}`, x]));
    expectShapes(first !== undefined, "concat", {}, "it needs at least one tensor.");
    expectAxis("concat", first.shape, axis);
    expectShapes(
      inputs.every(
        ({ shape }) => shape.length === first.shape.length && sameShape(shape.with(axis, 1), first.shape.with(axis, 1)),
      ),
      "concat",
      operands,
      `the tensors may differ only in axis ${axis}.`,
    );
    return [
      {
        shape: first.shape.with(
          axis,
          inputs.reduce((total, { shape }) => total + shape[axis]!, 0),
        ),
        dtype: "f32",
      },
    ];
  },
  gradient({ inputs, attributes: { axis } }, [g]) {
    let start = 0;
    return inputs.map(({ shape }) => {
      const part = slice(g!, axis, start, shape[axis]!);
      start += shape[axis]!;
      return part;
    });
  },
  flops: () => 0,
  reference(inputs, [y], { axis }) {
    let start = 0;
    for (const x of inputs) {
      copyPart(x, 0, y!, start, axis, x.shape[axis]!);
      start += x.shape[axis]!;
    }
  },
});

/**
 * Tensors joined along an axis, in order.
 *
 * @param tensors alike in all axes but this one
 * @returns [..., N1 + N2 + ..., ...]
 * @throws ShapeError when another axis differs, the axis does not exist or there is no tensor
 */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  return applyOne(concatOperation, tensors, { axis });
}
