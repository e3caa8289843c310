// Question: how does the CPU cut parts out of tensors, and put them back?

import { type Shape, sizeOf } from "../../../graph/tensor.ts";
import { placeOperation, sliceOperation } from "../../../ops/slice.ts";
import { ROW_TILE } from "../constants.ts";
import type { KernelCall, KernelName } from "../call.ts";
import { type Cut, type Implementation, implement } from "../implement.ts";

export const slice: readonly Implementation[] = [
  implement(sliceOperation, ({ x, y }, { read, write, itemOf, emit }, { axis, start, size }) => {
    const { inner, period } = alongAxis(x.shape, axis);
    const { cut, ...domain } = copyDomain(y.shape, axis);
    emit({
      kernel: "slice",
      ...domain,
      operands: { x: read(x, cut), y: write(y, "share") },
      words: { item: itemOf(y), all: sizeOf(y.shape), period, before: start * inner, chunk: size * inner },
    });
  }),
  implement(placeOperation, ({ x, y }, { read, write, itemOf, emit }, { axis, start }) => {
    const { inner, period } = alongAxis(y.shape, axis);
    const { cut, ...domain } = copyDomain(y.shape, axis);
    emit({
      kernel: "place",
      ...domain,
      operands: { x: read(x, cut), y: write(y, "share") },
      words: {
        item: itemOf(y),
        all: sizeOf(y.shape),
        period,
        before: start * inner,
        chunk: alongAxis(x.shape, axis).period,
      },
    });
  }),
];

/** How one axis lies in memory: rows of `period` floats, a unit of the axis is `inner` floats. */
export function alongAxis(shape: Shape, axis: number): { readonly inner: number; readonly period: number } {
  const inner = sizeOf(shape.slice(axis + 1));
  return { inner, period: (shape[axis] ?? 1) * inner };
}

/**
 * Items of a copy along an axis. Along the last one it is row-wise, so it chains; along others it is cut anywhere, and
 * a task reads of its source what it finds.
 */
export function copyDomain(
  shape: Shape,
  axis: number,
): Pick<KernelCall<KernelName>, "domain" | "grain"> & { readonly cut: Cut } {
  return axis === shape.length - 1
    ? { domain: sizeOf(shape.slice(0, -1)), grain: ROW_TILE, cut: "share" }
    : { domain: undefined, grain: 1, cut: "whole" };
}
