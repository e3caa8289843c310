// Softmax of each row.
//
//   y_c = e^(x_c) / Σ_k e^(x_k),  dx = y · (g − Σ_k y_k g_k)
//
// The maximum of the row is subtracted first, so nothing overflows. Shapes: x, y [..., C].

import { applyOne, lastAxis, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export const softmaxOperation: Operation<["x"], ["y"]> = positional<["x"], ["y"], unknown>({
  name: "softmax",
  inputs: ["x"],
  outputs: ["y"],
  infer([x]) {
    expectShapes(x!.shape.length >= 1, "softmax", { x: x! }, "x needs an axis to normalise.");
    return [{ shape: x!.shape, dtype: "f32" }];
  },
  gradient: ({ outputs: [y] }, [g]) => [applyOne(softmaxBackwardOperation, [y!, g!], {})],
  flops: (node) => 13 * sizeOf(node.outputs[0]!.shape),
  reference([x], [y]) {
    const size = lastAxis(x!.shape);
    for (let row = 0; row < x!.data.length; row += size) {
      const total = logSumExp(x!.data.subarray(row, row + size));
      for (let c = row; c < row + size; c++) y!.data[c] = Math.exp(x!.data[c]! - total);
    }
  },
});

/** (y, g) → dx. */
export const softmaxBackwardOperation: Operation<["y", "g"], ["dx"]> = positional<["y", "g"], ["dx"], unknown>({
  name: "softmaxBackward",
  inputs: ["y", "g"],
  outputs: ["dx"],
  infer: ([y]) => [{ shape: y!.shape, dtype: "f32" }],
  flops: (node) => 4 * sizeOf(node.outputs[0]!.shape),
  reference([y, g], [dx]) {
    const size = lastAxis(y!.shape);
    for (let row = 0; row < y!.data.length; row += size) {
      let along = 0;
      for (let c = row; c < row + size; c++) along += y!.data[c]! * g!.data[c]!;
      for (let c = row; c < row + size; c++) dx!.data[c] = y!.data[c]! * (g!.data[c]! - along);
    }
  },
});

/** log Σ e^(x_k), for references. */
export function logSumExp(x: Float64Array): number {
  const largest = x.reduce((a, b) => Math.max(a, b));
  return largest + Math.log(x.reduce((total, value) => total + Math.exp(value - largest), 0));
}

/**
 * Softmax over the last axis: [..., C] → [..., C]. The maximum of a row is taken off first, so nothing overflows.
 *
 * @throws ShapeError when x is a scalar
 */
export function softmax(x: Tensor): Tensor {
  return applyOne(softmaxOperation, [x], {});
}
