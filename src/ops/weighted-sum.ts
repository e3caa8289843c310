// Question: how does a token read earlier outputs, each with its own weight?
//
//   y_t = Σ_i w_ti s_i,t
//   dw_ti = <g_t, s_i,t>,  ds_i,t = w_ti g_t
//
// Shapes: w [T, k], s_i and y [..., C] with T rows, k ≥ 1 of them.

import { expectList } from "../basics/fields.ts";
import {
  apply,
  f32,
  lastAxis,
  type Operation,
  rowCount,
  sameShape,
  type Shape,
  sizeOf,
  type Tensor,
} from "../graph/tensor.ts";
import { concat } from "./concat.ts";
import { add, multiply } from "./elementwise.ts";
import { scaleRows } from "./masks.ts";
import { sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";
import { slice } from "./slice.ts";

export const weightedSumOperation: Operation<["weights", "...sources"], ["y"]> = {
  name: "weightedSum",
  inputs: ["weights", "...sources"],
  outputs: ["y"],
  infer({ weights, sources }) {
    const [first] = sources;
    expectShapes(first !== undefined, "weightedSum", { weights }, "it needs at least one source.");
    expectShapes(
      first.shape.length >= 1 &&
        sources.every(({ shape }) => sameShape(shape, first.shape)) &&
        sameShape(weights.shape, [rowCount(first.shape), sources.length]),
      "weightedSum",
      { weights, ...Object.fromEntries(sources.map((source, i) => [`source ${i}`, source])) },
      `the sources must be alike and the weights [rows, sources] = [${rowCount(first.shape)}, ${sources.length}].`,
    );
    return { y: { shape: first.shape, dtype: "f32" } };
  },
  gradient({ weights, sources }, { y: g }) {
    const { dWeights, dSources } = apply(weightedSumBackwardOperation, { weights, g, sources });
    return { weights: dWeights, sources: dSources };
  },
  flops: ({ weights, y }) => 2 * lastAxis(weights.shape) * sizeOf(y.shape),
  reference({ weights, sources }, { y }) {
    const C = lastAxis(y.shape);
    sources.forEach((s, i) => s.data.forEach((value, at) => y.add(at, weights.at(Math.floor(at / C), i) * value)));
  },
  compose: ({ weights, sources }) => ({
    y: sources.map((source, i) => scaleRows(source, weightsOf(weights, i, source.shape))).reduce(add),
  }),
};

export const weightedSumBackwardOperation: Operation<["weights", "g", "...sources"], ["dWeights", "...dSources"]> = {
  name: "weightedSumBackward",
  inputs: ["weights", "g", "...sources"],
  outputs: ["dWeights", "...dSources"],
  infer: ({ weights, sources }) => ({
    dWeights: f32(...weights.shape),
    dSources: sources.map(({ shape }) => f32(...shape)),
  }),
  flops: ({ weights, g }) => 3 * lastAxis(weights.shape) * sizeOf(g.shape),
  reference({ weights, g, sources }, { dWeights, dSources }) {
    const C = lastAxis(g.shape);
    sources.forEach((s, i) => {
      s.data.forEach((value, at) => dWeights.add(Math.floor(at / C), i, g.at(at) * value));
      dSources[i]?.each((at) => weights.at(Math.floor(at / C), i) * g.at(at));
    });
  },
  compose: ({ weights, g, sources }) => ({
    dWeights: concat(
      sources.map((source) => reshape(sumLast(multiply(g, source)), [rowCount(g.shape), 1])),
      1,
    ),
    dSources: sources.map((source, i) => scaleRows(g, weightsOf(weights, i, source.shape))),
  }),
};

/** The weights of source i, one for each row: [...]. */
function weightsOf(weights: Tensor, i: number, shape: Shape): Tensor {
  return reshape(slice(weights, 1, i, 1), shape.slice(0, -1));
}

/**
 * A weighted sum of tensors, row by row.
 *
 * @param weights [T, k]
 * @param sources k tensors [..., C] of T rows each
 * @returns [..., C]
 * @throws ShapeError when the sources differ in shape, or the weights do not fit them
 */
export function weightedSum(weights: Tensor, sources: readonly Tensor[]): Tensor {
  expectList("weightedSum", "sources", sources, "tensors");
  return apply(weightedSumOperation, { weights, sources }).y;
}
