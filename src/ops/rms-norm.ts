// Root-mean-square normalisation of each row (Zhang and Sennrich 2019, arXiv 1910.07467).
//
//   y = x · s · w,  s = 1 / sqrt(mean(x²) + epsilon)
//   dx = s · (w·g − x̂ · mean(w·g·x̂)),  dw = Σ_rows g · x̂,  with x̂ = x·s
//
// Shapes: x [..., C], w [C], y [..., C].

import { applyAll, applyOne, f32, lastAxis, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export interface RmsNormAttributes {
  readonly epsilon: number;
}

export const rmsNormOperation: Operation<["x", "w"], ["y"], RmsNormAttributes> = positional<
  ["x", "w"],
  ["y"],
  RmsNormAttributes
>({
  name: "rmsNorm",
  inputs: ["x", "w"],
  outputs: ["y"],
  infer([x, w]) {
    const channels = lastAxis(x!.shape);
    expectShapes(
      w!.shape.length === 1 && w!.shape[0] === channels,
      "rmsNorm",
      { x: x!, weight: w! },
      `the weight must be a vector of x's last axis (${channels}).`,
    );
    return [{ shape: x!.shape, dtype: "f32" }];
  },
  gradient({ inputs: [x, w], attributes }, [g]) {
    return applyAll(rmsNormBackwardOperation, [x!, w!, g!], attributes) as Tensor[];
  },
  flops: (node) => 4 * sizeOf(node.outputs[0]!.shape),
  reference([x, w], [y], { epsilon }) {
    const channels = lastAxis(x!.shape);
    for (let row = 0; row < x!.data.length; row += channels) {
      const s = inverseRms(x!.data, row, channels, epsilon);
      for (let c = 0; c < channels; c++) y!.data[row + c] = x!.data[row + c]! * s * w!.data[c]!;
    }
  },
});

/** (x, w, g) → (dx, dw). */
export const rmsNormBackwardOperation: Operation<["x", "w", "g"], ["dx", "dw"], RmsNormAttributes> = positional<
  ["x", "w", "g"],
  ["dx", "dw"],
  RmsNormAttributes
>({
  name: "rmsNormBackward",
  inputs: ["x", "w", "g"],
  outputs: ["dx", "dw"],
  infer: ([x, w]) => [{ shape: x!.shape, dtype: "f32" }, f32(...w!.shape)],
  flops: (node) => 10 * sizeOf(node.outputs[0]!.shape),
  reference([x, w, g], [dx, dw], { epsilon }) {
    const channels = lastAxis(x!.shape);
    for (let row = 0; row < x!.data.length; row += channels) {
      const s = inverseRms(x!.data, row, channels, epsilon);
      let along = 0;
      for (let c = 0; c < channels; c++) along += w!.data[c]! * g!.data[row + c]! * x!.data[row + c]! * s;
      along /= channels;
      for (let c = 0; c < channels; c++) {
        const normal = x!.data[row + c]! * s;
        dx!.data[row + c] = s * (w!.data[c]! * g!.data[row + c]! - normal * along);
        dw!.data[c]! += g!.data[row + c]! * normal;
      }
    }
  },
});

function inverseRms(x: Float64Array, row: number, channels: number, epsilon: number): number {
  let sum = 0;
  for (let c = 0; c < channels; c++) sum += x[row + c]! ** 2;
  return 1 / Math.sqrt(sum / channels + epsilon);
}

/**
 * Root-mean-square normalisation of the last axis, times a weight (Zhang and Sennrich 2019, arXiv 1910.07467).
 *
 * @param x [..., C]
 * @param weight [C]
 * @param epsilon added to the mean square; the paper of mHC uses 1e-20
 * @returns [..., C]
 * @throws ShapeError when the weight is not a vector of x's last axis
 */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon = 1e-6): Tensor {
  return applyOne(rmsNormOperation, [x, weight], { epsilon });
}
