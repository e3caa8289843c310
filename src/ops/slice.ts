// Question: how is a part of a tensor cut out along one axis, or placed among zeros?
//
//   slice   x [..., N, ...] → [..., size, ...]    elements start .. start + size − 1 of the axis
//   place   x [..., size, ...] → [..., N, ...]    the part at start .., zeros around it
//
// Each is the other's gradient.

import { apply, type Operation, type Shape, sizeOf, type Tensor, type Values } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export interface SliceAttributes {
  readonly axis: number;
  readonly start: number;
  readonly size: number;
}

export interface PlaceAttributes {
  readonly axis: number;
  readonly start: number;
  /** Size of that axis in the result. */
  readonly total: number;
}

export const sliceOperation: Operation<["x"], ["y"], SliceAttributes> = {
  name: "slice",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }, { axis, start, size }) {
    expectAxis("slice", x.shape, axis);
    expectPart("slice", x.shape, start, size, axisSize(x, axis));
    return { y: { shape: x.shape.with(axis, size), dtype: x.dtype } };
  },
  gradient: ({ x }, { y: g }, { axis, start }) => ({ x: place(g, axis, start, axisSize(x, axis)) }),
  flops: () => 0,
  reference: ({ x }, { y }, { axis, start }) => copyPart(x, start, y, 0, axis),
};

export const placeOperation: Operation<["x"], ["y"], PlaceAttributes> = {
  name: "place",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }, { axis, start, total }) {
    expectAxis("place", x.shape, axis);
    expectPart("place", x.shape, start, axisSize(x, axis), total);
    return { y: { shape: x.shape.with(axis, total), dtype: "f32" } };
  },
  gradient: ({ x }, { y: g }, { axis, start }) => ({ x: slice(g, axis, start, axisSize(x, axis)) }),
  flops: () => 0,
  reference: ({ x }, { y }, { axis, start }) => copyPart(x, 0, y, start, axis),
};

/** The size of an axis. Throws if the axis does not exist. */
export function axisSize({ shape }: { readonly shape: Shape }, axis: number): number {
  return shape[axis] ?? 1;
}

/** For references: to[..., toStart + i, ...] = from[..., fromStart + i, ...] for every i that both have. */
export function copyPart(from: Values, fromStart: number, to: Values, toStart: number, axis: number): void {
  const outer = sizeOf(from.shape.slice(0, axis));
  const inner = sizeOf(from.shape.slice(axis + 1));
  const size = Math.min(axisSize(from, axis), axisSize(to, axis));
  for (let row = 0; row < outer; row++) {
    const at = (row * axisSize(from, axis) + fromStart) * inner;
    to.data.set(from.data.subarray(at, at + size * inner), (row * axisSize(to, axis) + toStart) * inner);
  }
}

export function expectAxis(operation: string, shape: Shape, axis: number): void {
  expectShapes(
    Number.isInteger(axis) && axis >= 0 && axis < shape.length,
    operation,
    { x: shape },
    `the axis must be a whole number from 0 to ${shape.length - 1}, not ${axis}.`,
  );
}

function expectPart(operation: string, shape: Shape, start: number, size: number, total: number): void {
  expectShapes(
    [start, size].every(Number.isInteger) && start >= 0 && size >= 1 && start + size <= total,
    operation,
    { x: shape },
    `the part from ${start} of size ${size} must lie within the axis (size ${total}).`,
  );
}

/**
 * Elements start .. start + size − 1 of an axis.
 *
 * @returns [..., size, ...]
 * @throws ShapeError when the axis does not exist or the part lies outside it
 */
export function slice(x: Tensor, axis: number, start: number, size: number): Tensor {
  return start === 0 && size === x.shape[axis] ? x : apply(sliceOperation, { x }, { axis, start, size }).y;
}

/** Zeros of size `total` along an axis, with x from `start` on. */
export function place(x: Tensor, axis: number, start: number, total: number): Tensor {
  return start === 0 && total === x.shape[axis] ? x : apply(placeOperation, { x }, { axis, start, total }).y;
}
