// Question: how is one of two values chosen, element by element?
//
//   y = a where condition > 0, else b            da = g where condition > 0, else 0;  db the other way round
//
// A value that is not chosen has no effect, even if it is NaN. Shapes: all operands alike [...].

import { apply, type Operation, sameShape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { fill } from "./fill.ts";
import { expectShapes } from "./shapes.ts";

export const selectOperation: Operation<["condition", "a", "b"], ["y"]> = {
  name: "select",
  inputs: ["condition", "a", "b"],
  outputs: ["y"],
  infer({ condition, a, b }) {
    expectShapes(
      [a, b].every(({ shape, dtype }) => dtype === "f32" && sameShape(shape, condition.shape)),
      "select",
      { condition, a, b },
      "the operands must be f32 and alike; repeat the smaller one with broadcast() or broadcastLast().",
    );
    return { y: { shape: a.shape, dtype: "f32" } };
  },
  gradient({ condition }, { y: g }) {
    const none = fill(g.shape, 0);
    return { a: select(condition, g, none), b: select(condition, none, g) };
  },
  flops: ({ y }) => sizeOf(y.shape),
  reference: ({ condition, a, b }, { y }) => y.each((i) => (condition.at(i) > 0 ? a.at(i) : b.at(i))),
};

/**
 * a where the condition is positive, b elsewhere (also where it is not a number): [...] each → [...].
 *
 * @throws ShapeError when the shapes differ
 */
export function select(condition: Tensor, a: Tensor, b: Tensor): Tensor {
  return apply(selectOperation, { condition, a, b }).y;
}
