// A sum of tensors with weights of each row's own: what a token reads of the outputs before it.
//
//   y_t = Σ_i w_ti s_i,t
//   dw_ti = <g_t, s_i,t>,  ds_i,t = w_ti g_t
//
// Shapes: w [T, k], s_i and y [..., C] with T rows, k ≥ 1 of them.

import {
  applyAll,
  applyOne,
  f32,
  type Operation,
  positional,
  rowCount,
  sameShape,
  sizeOf,
  type Tensor,
} from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

/** (w, s_1 … s_k) → y. */
export const weightedSumOperation: Operation<["weights", "...sources"], ["y"]> = positional<
  ["weights", "...sources"],
  ["y"],
  unknown
>({
  name: "weightedSum",
  inputs: ["weights", "...sources"],
  outputs: ["y"],
  infer([weights, ...sources]) {
    const [first] = sources;
    expectShapes(first !== undefined, "weightedSum", { weights: weights! }, "it needs at least one source.");
    expectShapes(
      first.shape.length >= 1 &&
        sources.every(({ shape }) => sameShape(shape, first.shape)) &&
        sameShape(weights!.shape, [rowCount(first.shape), sources.length]),
      "weightedSum",
      { weights: weights!, ...Object.fromEntries(sources.map((source, i) => [`source ${i}`, source])) },
      `the sources must be alike and the weights [rows, sources] = [${rowCount(first.shape)}, ${sources.length}].`,
    );
    return [{ shape: first.shape, dtype: "f32" }];
  },
  gradient: ({ inputs: [weights, ...sources] }, [g]) =>
    applyAll(weightedSumBackwardOperation, [weights!, g!, ...sources], {}) as Tensor[],
  flops: ({ inputs: [weights], outputs: [y] }) => 2 * weights!.shape[1]! * sizeOf(y!.shape),
  reference([weights, ...sources], [y]) {
    const [rows, k] = weights!.shape as [number, number];
    const size = y!.data.length / rows;
    for (let at = 0; at < y!.data.length; at++) {
      const row = Math.floor(at / size);
      for (let i = 0; i < k; i++) y!.data[at]! += weights!.data[row * k + i]! * sources[i]!.data[at]!;
    }
  },
});

/** (w, g, s_1 … s_k) → (dw, ds_1 … ds_k). */
export const weightedSumBackwardOperation: Operation<["weights", "g", "...sources"], ["dWeights", "...dSources"]> =
  positional<["weights", "g", "...sources"], ["dWeights", "...dSources"], unknown>({
    name: "weightedSumBackward",
    inputs: ["weights", "g", "...sources"],
    outputs: ["dWeights", "...dSources"],
    infer: ([weights, , ...sources]) => [f32(...weights!.shape), ...sources.map(({ shape }) => f32(...shape))],
    flops: ({ inputs: [weights, g] }) => 3 * weights!.shape[1]! * sizeOf(g!.shape),
    reference([weights, g, ...sources], [dWeights, ...dSources]) {
      const [rows, k] = weights!.shape as [number, number];
      const size = g!.data.length / rows;
      for (let at = 0; at < g!.data.length; at++) {
        const row = Math.floor(at / size);
        for (let i = 0; i < k; i++) {
          dWeights!.data[row * k + i]! += g!.data[at]! * sources[i]!.data[at]!;
          dSources[i]!.data[at] = weights!.data[row * k + i]! * g!.data[at]!;
        }
      }
    },
  });

/**
 * A weighted sum of tensors, row by row.
 *
 * @param weights [T, k]
 * @param sources k tensors [..., C] of T rows each
 * @returns [..., C]
 * @throws ShapeError when the sources differ in shape, or the weights do not fit them
 */
export function weightedSum(weights: Tensor, sources: readonly Tensor[]): Tensor {
  return applyOne(weightedSumOperation, [weights, ...sources], {});
}
