// Question: what is the root-mean-square normalisation of each row (Zhang and Sennrich 2019, arXiv 1910.07467)?
//
//   y = x · s · w,  s = 1 / sqrt(mean(x²) + epsilon)
//   dx = s · (w·g − x̂ · mean(w·g·x̂)),  dw = Σ_rows g · x̂,  with x̂ = x·s
//
// Shapes: x [..., C], w [C], y [..., C].

import { apply, f32, lastAxis, type Operation, rowCount, sizeOf, type Tensor, type Values } from "../graph/tensor.ts";
import { multiply, reciprocal, shift, sqrt, square, subtract } from "./elementwise.ts";
import { scaleRows } from "./masks.ts";
import { broadcast, meanLast, sumLeading } from "./reductions.ts";
import { expectEpsilon } from "./epsilons.ts";
import { expectShapes } from "./shapes.ts";

export interface RmsNormAttributes {
  readonly epsilon: number;
}

export const rmsNormOperation: Operation<["x", "w"], ["y"], RmsNormAttributes> = {
  name: "rmsNorm",
  inputs: ["x", "w"],
  outputs: ["y"],
  infer({ x, w }, { epsilon }) {
    expectEpsilon("rmsNorm", epsilon);
    const channels = lastAxis(x.shape);
    expectShapes(
      w.shape.length === 1 && w.shape[0] === channels,
      "rmsNorm",
      { x, weight: w },
      `the weight must be a vector of x's last axis (${channels}).`,
    );
    return { y: { shape: x.shape, dtype: "f32" } };
  },
  gradient({ x, w }, { y: g }, attributes) {
    const { dx, dw } = apply(rmsNormBackwardOperation, { x, w, g }, attributes);
    return { x: dx, w: dw };
  },
  flops: ({ y }) => 4 * sizeOf(y.shape),
  reference({ x, w }, { y }, { epsilon }) {
    for (let row = 0; row < rowCount(x.shape); row++) {
      const s = inverseRms(x, row, epsilon);
      for (let c = 0; c < lastAxis(x.shape); c++) y.set(row, c, x.at(row, c) * s * w.at(c));
    }
  },
  compose: ({ x, w }, { epsilon }) => ({
    y: multiply(scaleRows(x, composedInverseRms(x, epsilon)), broadcast(w, x.shape)),
  }),
};

export const rmsNormBackwardOperation: Operation<["x", "w", "g"], ["dx", "dw"], RmsNormAttributes> = {
  name: "rmsNormBackward",
  inputs: ["x", "w", "g"],
  outputs: ["dx", "dw"],
  infer: ({ x, w }) => ({ dx: { shape: x.shape, dtype: "f32" }, dw: f32(...w.shape) }),
  flops: ({ dx }) => 10 * sizeOf(dx.shape),
  reference({ x, w, g }, { dx, dw }, { epsilon }) {
    const C = lastAxis(x.shape);
    for (let row = 0; row < rowCount(x.shape); row++) {
      const s = inverseRms(x, row, epsilon);
      let along = 0;
      for (let c = 0; c < C; c++) along += (w.at(c) * g.at(row, c) * x.at(row, c) * s) / C;
      for (let c = 0; c < C; c++) {
        const normal = x.at(row, c) * s;
        dx.set(row, c, s * (w.at(c) * g.at(row, c) - normal * along));
        dw.add(c, g.at(row, c) * normal);
      }
    }
  },
  compose({ x, w, g }, { epsilon }) {
    const s = composedInverseRms(x, epsilon);
    const normal = scaleRows(x, s);
    const weighted = multiply(broadcast(w, x.shape), g);
    const along = meanLast(multiply(weighted, normal));
    return {
      dx: scaleRows(subtract(weighted, scaleRows(normal, along)), s),
      dw: sumLeading(multiply(g, normal), 1),
    };
  },
};

function inverseRms(x: Values, row: number, epsilon: number): number {
  const C = lastAxis(x.shape);
  let sum = 0;
  for (let c = 0; c < C; c++) sum += x.at(row, c) ** 2;
  return 1 / Math.sqrt(sum / C + epsilon);
}

/** 1 / sqrt(mean(x²) + epsilon) of each row by operations, for composed forms: [..., C] → [...]. */
export function composedInverseRms(x: Tensor, epsilon: number): Tensor {
  return reciprocal(sqrt(shift(meanLast(square(x)), epsilon)));
}

/**
 * Root-mean-square normalisation of the last axis, times a weight (Zhang and Sennrich 2019, arXiv 1910.07467).
 *
 * @param x [..., C]
 * @param weight [C]
 * @param epsilon added to the mean square; the mHC paper uses 1e-20
 * @returns [..., C]
 * @throws ShapeError when the weight is not a vector of x's last axis; RangeError for an epsilon that float32 does not hold
 */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon = 1e-6): Tensor {
  return apply(rmsNormOperation, { x, w: weight }, { epsilon }).y;
}
