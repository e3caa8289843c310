// Sums over axes, and repeats along axes: each is the other's gradient.
//
//   sumLeading   x [..., K...] → [K...]        broadcast       x [K...] → [..., K...]
//   sumLast      x [..., C]    → [...]         broadcastLast   x [...]  → [..., C]
//   sum          x [...]       → []

import {
  applyOne,
  lastAxis,
  type Operation,
  positional,
  sameShape,
  type Shape,
  sizeOf,
  type Tensor,
} from "../graph/tensor.ts";
import { scale } from "./elementwise.ts";
import { constantOf, fill } from "./fill.ts";
import { expectShapes } from "./shapes.ts";

export const sumOperation: Operation<["x"], ["y"]> = positional<["x"], ["y"], unknown>({
  name: "sum",
  inputs: ["x"],
  outputs: ["y"],
  infer: () => [{ shape: [], dtype: "f32" }],
  gradient: ({ inputs: [x] }, [g]) => [broadcast(g!, x!.shape)],
  flops: (node) => sizeOf(node.inputs[0]!.shape),
  reference: ([x], [y]) => void (y!.data[0] = x!.data.reduce((total, value) => total + value, 0)),
});

export const sumLeadingOperation: Operation<["x"], ["y"], { readonly keepAxes: number }> = positional<
  ["x"],
  ["y"],
  { readonly keepAxes: number }
>({
  name: "sumLeading",
  inputs: ["x"],
  outputs: ["y"],
  infer([x], { keepAxes }) {
    expectShapes(
      Number.isInteger(keepAxes) && keepAxes >= 0 && keepAxes <= x!.shape.length,
      "sumLeading",
      { x: x! },
      `keepAxes must be a whole number from 0 to ${x!.shape.length}, the number of axes, not ${keepAxes}.`,
    );
    return [{ shape: x!.shape.slice(x!.shape.length - keepAxes), dtype: "f32" }];
  },
  gradient: ({ inputs: [x] }, [g]) => [broadcast(g!, x!.shape)],
  flops: (node) => sizeOf(node.inputs[0]!.shape),
  reference([x], [y]) {
    for (let i = 0; i < x!.data.length; i++) y!.data[i % y!.data.length]! += x!.data[i]!;
  },
});

export const sumLastOperation: Operation<["x"], ["y"]> = positional<["x"], ["y"], unknown>({
  name: "sumLast",
  inputs: ["x"],
  outputs: ["y"],
  infer([x]) {
    expectShapes(x!.shape.length >= 1, "sumLast", { x: x! }, "x needs an axis to sum over.");
    return [{ shape: x!.shape.slice(0, -1), dtype: "f32" }];
  },
  gradient: ({ inputs: [x] }, [g]) => [broadcastLast(g!, lastAxis(x!.shape))],
  flops: (node) => sizeOf(node.inputs[0]!.shape),
  reference([x], [y]) {
    const size = lastAxis(x!.shape);
    for (let i = 0; i < x!.data.length; i++) y!.data[Math.floor(i / size)]! += x!.data[i]!;
  },
});

export const broadcastOperation: Operation<["x"], ["y"], { readonly shape: Shape }> = positional<
  ["x"],
  ["y"],
  { readonly shape: Shape }
>({
  name: "broadcast",
  inputs: ["x"],
  outputs: ["y"],
  infer([x], { shape }) {
    expectShapes(
      sameShape(x!.shape, shape.slice(shape.length - x!.shape.length)),
      "broadcast",
      { x: x!, "the new shape": shape },
      "the new shape must end with x's shape, because x is repeated over new leading axes; use broadcastLast() for a new last axis.",
    );
    return [{ shape, dtype: "f32" }];
  },
  gradient: ({ inputs: [x] }, [g]) => [sumLeading(g!, x!.shape.length)],
  flops: () => 0,
  reference([x], [y]) {
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = x!.data[i % x!.data.length]!;
  },
});

export const broadcastLastOperation: Operation<["x"], ["y"], { readonly size: number }> = positional<
  ["x"],
  ["y"],
  { readonly size: number }
>({
  name: "broadcastLast",
  inputs: ["x"],
  outputs: ["y"],
  infer: ([x], { size }) => [{ shape: [...x!.shape, size], dtype: "f32" }],
  gradient: (_node, [g]) => [sumLast(g!)],
  flops: () => 0,
  reference([x], [y], { size }) {
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = x!.data[Math.floor(i / size)]!;
  },
});

/** Sum of all elements: [...] → []. */
export function sum(x: Tensor): Tensor {
  return applyOne(sumOperation, [x], {});
}

/** Mean of all elements: [...] → []. */
export function mean(x: Tensor): Tensor {
  return scale(sum(x), 1 / sizeOf(x.shape));
}

/**
 * Sum over all axes but the last `keepAxes`: a bias' gradient, for example.
 *
 * @param x [..., K...]
 * @returns [K...], as many axes as `keepAxes`
 * @throws ShapeError when x has fewer axes
 */
export function sumLeading(x: Tensor, keepAxes: number): Tensor {
  return keepAxes === x.shape.length ? x : applyOne(sumLeadingOperation, [x], { keepAxes });
}

/**
 * Sum of each row: [..., C] → [...].
 *
 * @throws ShapeError when x is a scalar
 */
export function sumLast(x: Tensor): Tensor {
  return applyOne(sumLastOperation, [x], {});
}

/**
 * Mean of each row: [..., C] → [...].
 *
 * @throws ShapeError when x is a scalar
 */
export function meanLast(x: Tensor): Tensor {
  return scale(sumLast(x), 1 / lastAxis(x.shape));
}

/**
 * Repeat x over new leading axes.
 *
 * @param x [K...], or a scalar []
 * @param shape [..., K...]
 * @returns of this shape
 * @throws ShapeError unless the shape ends with x's
 */
export function broadcast(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const y = applyOne(broadcastOperation, [x], { shape: [...shape] });
  const value = constantOf(x);
  return value === undefined ? y : fill(y.shape, value);
}

/** Repeat each element along a new last axis: [...] → [..., size]. */
export function broadcastLast(x: Tensor, size: number): Tensor {
  const value = constantOf(x);
  return value === undefined ? applyOne(broadcastLastOperation, [x], { size }) : fill([...x.shape, size], value);
}
