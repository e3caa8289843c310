// Question: what is the softmax of each row?
//
//   y_c = e^(x_c) / Σ_k e^(x_k),  dx = y · (g − Σ_k y_k g_k)
//
// The maximum of the row is subtracted first, so nothing overflows. Shapes: x, y [..., C].

import { apply, lastAxis, type Operation, rowCount, sizeOf, type Tensor } from "../graph/tensor.ts";
import { add, exp, log, multiply, subtract } from "./elementwise.ts";
import { maxLast } from "./max-last.ts";
import { broadcastLast, sumLast } from "./reductions.ts";
import { expectShapes } from "./shapes.ts";

export const softmaxOperation: Operation<["x"], ["y"]> = {
  name: "softmax",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }) {
    expectShapes(x.shape.length >= 1, "softmax", { x }, "x needs an axis to normalise.");
    return { y: { shape: x.shape, dtype: "f32" } };
  },
  gradient: ({ y }, { y: g }) => ({ x: apply(softmaxBackwardOperation, { y, g }).dx }),
  flops: ({ y }) => 13 * sizeOf(y.shape),
  reference({ x }, { y }) {
    const C = lastAxis(x.shape);
    for (let row = 0; row < rowCount(x.shape); row++) {
      const { largest, log } = logSumExp(x.data.subarray(row * C, (row + 1) * C));
      for (let c = 0; c < C; c++) y.set(row, c, Math.exp(x.at(row, c) - largest - log));
    }
  },
  compose: ({ x }) => ({ y: exp(subtract(x, broadcastLast(composedLogSumExp(x), lastAxis(x.shape)))) }),
};

export const softmaxBackwardOperation: Operation<["y", "g"], ["dx"]> = {
  name: "softmaxBackward",
  inputs: ["y", "g"],
  outputs: ["dx"],
  infer: ({ y }) => ({ dx: { shape: y.shape, dtype: "f32" } }),
  flops: ({ y }) => 4 * sizeOf(y.shape),
  reference({ y, g }, { dx }) {
    const C = lastAxis(y.shape);
    for (let row = 0; row < rowCount(y.shape); row++) {
      let along = 0;
      for (let c = 0; c < C; c++) along += y.at(row, c) * g.at(row, c);
      for (let c = 0; c < C; c++) dx.set(row, c, y.at(row, c) * (g.at(row, c) - along));
    }
  },
  compose: ({ y, g }) => ({
    dx: multiply(y, subtract(g, broadcastLast(sumLast(multiply(y, g)), lastAxis(y.shape)))),
  }),
};

/** log Σ e^(x_k) = largest + log, for references; beside a large x the sum of the two would lose the second. */
export function logSumExp(x: Float64Array): { readonly largest: number; readonly log: number } {
  const largest = x.reduce((a, b) => Math.max(a, b));
  return { largest, log: Math.log(x.reduce((total, value) => total + Math.exp(value - largest), 0)) };
}

/** log Σ e^(x_k) of each row by operations, for composed forms: [..., C] → [...]. */
export function composedLogSumExp(x: Tensor): Tensor {
  const largest = maxLast(x);
  return add(largest, log(sumLast(exp(subtract(x, broadcastLast(largest, lastAxis(x.shape)))))));
}

/**
 * Softmax over the last axis: [..., C] → [..., C]. The maximum of a row is subtracted first, so nothing overflows.
 *
 * @throws ShapeError when x is a scalar
 */
export function softmax(x: Tensor): Tensor {
  return apply(softmaxOperation, { x }).y;
}
