// Question: what are sums over axes, and repeats along axes?
//
//   sumLeading   x [..., K...] → [K...]        broadcast       x [K...] → [..., K...]
//   sumLast      x [..., C]    → [...]         broadcastLast   x [...]  → [..., C]
//   sum          x [...]       → []
//
// Each is the other's gradient.

import {
  apply,
  lastAxis,
  type Operation,
  sameShape,
  type Shape,
  sizeOf,
  type Tensor,
  expectTensor,
} from "../graph/tensor.ts";
import { scale } from "./elementwise.ts";
import { constantOf, fill } from "./fill.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";

export const sumOperation: Operation<["x"], ["y"]> = {
  name: "sum",
  inputs: ["x"],
  outputs: ["y"],
  infer: () => ({ y: { shape: [], dtype: "f32" } }),
  gradient: ({ x }, { y: g }) => ({ x: broadcast(g, x.shape) }),
  flops: ({ x }) => sizeOf(x.shape),
  reference: ({ x }, { y }) =>
    y.set(
      0,
      x.data.reduce((total, value) => total + value, 0),
    ),
  compose: ({ x }) => ({ y: sumLast(reshape(x, [sizeOf(x.shape)])) }),
};

export interface SumLeadingAttributes {
  /** The number of last axes that stay. */
  readonly keepAxes: number;
}

export const sumLeadingOperation: Operation<["x"], ["y"], SumLeadingAttributes> = {
  name: "sumLeading",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }, { keepAxes }) {
    expectShapes(
      Number.isInteger(keepAxes) && keepAxes >= 0 && keepAxes <= x.shape.length,
      "sumLeading",
      { x },
      `keepAxes must be a whole number from 0 to ${x.shape.length}, the number of axes, not ${keepAxes}.`,
    );
    return { y: { shape: x.shape.slice(x.shape.length - keepAxes), dtype: "f32" } };
  },
  gradient: ({ x }, { y: g }) => ({ x: broadcast(g, x.shape) }),
  flops: ({ x }) => sizeOf(x.shape),
  reference: ({ x }, { y }) => x.data.forEach((value, i) => y.add(i % y.size, value)),
};

export const sumLastOperation: Operation<["x"], ["y"]> = {
  name: "sumLast",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }) {
    expectShapes(x.shape.length >= 1, "sumLast", { x }, "x needs an axis to sum over.");
    return { y: { shape: x.shape.slice(0, -1), dtype: "f32" } };
  },
  gradient: ({ x }, { y: g }) => ({ x: broadcastLast(g, lastAxis(x.shape)) }),
  flops: ({ x }) => sizeOf(x.shape),
  reference({ x }, { y }) {
    const C = lastAxis(x.shape);
    x.data.forEach((value, i) => y.add(Math.floor(i / C), value));
  },
};

export interface BroadcastAttributes {
  readonly shape: Shape;
}

export const broadcastOperation: Operation<["x"], ["y"], BroadcastAttributes> = {
  name: "broadcast",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }, { shape }) {
    expectShapes(
      sameShape(x.shape, shape.slice(shape.length - x.shape.length)),
      "broadcast",
      { x, "the new shape": shape },
      "the new shape must end with x's shape, because x is repeated over new leading axes; use broadcastLast() for a new last axis.",
    );
    return { y: { shape, dtype: "f32" } };
  },
  gradient: ({ x }, { y: g }) => ({ x: sumLeading(g, x.shape.length) }),
  flops: () => 0,
  reference: ({ x }, { y }) => y.each((i) => x.at(i % x.size)),
};

export interface BroadcastLastAttributes {
  readonly size: number;
}

export const broadcastLastOperation: Operation<["x"], ["y"], BroadcastLastAttributes> = {
  name: "broadcastLast",
  inputs: ["x"],
  outputs: ["y"],
  infer: ({ x }, { size }) => ({ y: { shape: [...x.shape, size], dtype: "f32" } }),
  gradient: (_tensors, { y: g }) => ({ x: sumLast(g) }),
  flops: () => 0,
  reference: ({ x }, { y }, { size }) => y.each((i) => x.at(Math.floor(i / size))),
};

/** Sum of all elements: [...] → []. */
export function sum(x: Tensor): Tensor {
  return apply(sumOperation, { x }).y;
}

/** Mean of all elements: [...] → []. */
export function mean(x: Tensor): Tensor {
  return scale(sum(x), 1 / sizeOf(x.shape));
}

/**
 * Sum over all axes but the last `keepAxes`, for instance for the gradient of a bias.
 *
 * @param x [..., K...]
 * @returns [K...], as many axes as `keepAxes`
 * @throws ShapeError when x has fewer axes
 */
export function sumLeading(x: Tensor, keepAxes: number): Tensor {
  expectTensor("sumLeading", "x", x);
  return keepAxes === x.shape.length ? x : apply(sumLeadingOperation, { x }, { keepAxes }).y;
}

/**
 * Sum of each row: [..., C] → [...].
 *
 * @throws ShapeError when x is a scalar
 */
export function sumLast(x: Tensor): Tensor {
  return apply(sumLastOperation, { x }).y;
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
  expectTensor("broadcast", "x", x);
  if (sameShape(x.shape, shape)) return x;
  const y = apply(broadcastOperation, { x }, { shape: [...shape] }).y;
  const value = constantOf(x);
  return value === undefined ? y : fill(y.shape, value);
}

/** Repeat each element along a new last axis: [...] → [..., size]. */
export function broadcastLast(x: Tensor, size: number): Tensor {
  expectTensor("broadcastLast", "x", x);
  const value = constantOf(x);
  return value === undefined ? apply(broadcastLastOperation, { x }, { size }).y : fill([...x.shape, size], value);
}
