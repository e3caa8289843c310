// Question: how do the experts' results get back to their tokens?
//
//   y[n] = Σ_j w[n, j] · x[position[n, j]]                       [P, C] → [N, C]
//   dx[r] = w[p] · g[n],  dw[p] = x[r] · g[n]                    with p = order[r], n = p div k
//
// order, position: see dispatch.ts. Shapes: w [N, k].

import { apply, f32, lastAxis, type Operation, sameShape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { type Dispatch, tokensInOrder } from "./dispatch.ts";
import { multiply } from "./elementwise.ts";
import { sumOfRows } from "./expert-rows.ts";
import { gather, scatterAdd } from "./gather.ts";
import { expectIndex } from "./indices.ts";
import { scaleRows } from "./masks.ts";
import { transpose } from "./permute.ts";
import { sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";

/** The weighted sum of each token's rows. */
export const expertSumOperation: Operation<["x", "order", "position", "weights"], ["y"]> = {
  name: "expertSum",
  inputs: ["x", "order", "position", "weights"],
  outputs: ["y"],
  infer({ x, order, position, weights }) {
    expectShapes(
      sameShape(position.shape, weights.shape),
      "expertSum",
      { position, weights },
      "there must be one weight for each pair, [N, k].",
    );
    return { y: sumOfRows("expertSum", x, order, position) };
  },
  gradient({ x, order, weights }, { y: g }) {
    const { dx, dWeights } = apply(expertSumBackwardOperation, { x, order, weights, g });
    return { x: dx, weights: dWeights };
  },
  flops: ({ x }) => 2 * sizeOf(x.shape),
  reference({ x, position, weights }, { y }) {
    const active = lastAxis(position.shape);
    position.data.forEach((row, pair) => {
      expectIndex("expertSum", row, pair, position.size);
      const n = Math.floor(pair / active);
      for (let c = 0; c < lastAxis(y.shape); c++) y.add(n, c, weights.at(pair) * x.at(row, c));
    });
  },
  compose: ({ x, position, weights }) => ({ y: sumLast(transpose(scaleRows(gather(x, position), weights))) }),
};

export const expertSumBackwardOperation: Operation<["x", "order", "weights", "g"], ["dx", "dWeights"]> = {
  name: "expertSumBackward",
  inputs: ["x", "order", "weights", "g"],
  outputs: ["dx", "dWeights"],
  infer: ({ x, weights }) => ({ dx: f32(...x.shape), dWeights: f32(...weights.shape) }),
  flops: ({ x }) => 3 * sizeOf(x.shape),
  reference({ x, order, weights, g }, { dx, dWeights }) {
    const active = lastAxis(weights.shape);
    order.data.forEach((pair, row) => {
      expectIndex("expertSumBackward", pair, row, order.size);
      const n = Math.floor(pair / active);
      for (let c = 0; c < lastAxis(x.shape); c++) {
        dx.set(row, c, weights.at(pair) * g.at(n, c));
        dWeights.add(pair, x.at(row, c) * g.at(n, c));
      }
    });
  },
  compose({ x, order, weights, g }) {
    const ofRows = gather(g, tokensInOrder(order, lastAxis(weights.shape)));
    const P = sizeOf(order.shape);
    const weight = reshape(gather(reshape(weights, [P, 1]), order), [P]);
    const along = reshape(sumLast(multiply(x, ofRows)), [P, 1]);
    return { dx: scaleRows(ofRows, weight), dWeights: reshape(scatterAdd(order, along, P), weights.shape) };
  },
};

/**
 * Bring the experts' results back to their tokens.
 *
 * @param x [N · k, C], in the order of `expertRows`
 * @param weights [N, k]
 * @returns [N, C]
 * @throws ShapeError when x or the weights do not belong to the dispatch
 */
export function expertSum(x: Tensor, { order, position }: Dispatch, weights: Tensor): Tensor {
  return apply(expertSumOperation, { x, order, position, weights }).y;
}
