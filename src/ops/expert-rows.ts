// Question: how do tokens get to their experts?
//
//   expertRows    y[r] = x[order[r] div k]                       [N, C] → [P, C]
//   tokenSum      y[n] = Σ_j x[position[n, j]]                   [P, C] → [N, C]
//
// Each is the other's gradient. order, position: see dispatch.ts.

import {
  apply,
  f32,
  lastAxis,
  type Operation,
  rowCount,
  sizeOf,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
import { type Dispatch, expectPairs, tokensInOrder } from "./dispatch.ts";
import { gather } from "./gather.ts";
import { expectIndex } from "./indices.ts";
import { transpose } from "./permute.ts";
import { sumLast } from "./reductions.ts";
import { expectShapes } from "./shapes.ts";

/** The row of x for each pair. */
export const expertRowsOperation: Operation<["x", "order", "position"], ["y"]> = {
  name: "expertRows",
  inputs: ["x", "order", "position"],
  outputs: ["y"],
  infer({ x, order, position }) {
    expectPairs("expertRows", order, position);
    expectShapes(
      x.shape.length === 2 && x.shape[0] === position.shape[0],
      "expertRows",
      { x, position },
      "x must be [N, C] with the tokens that were dispatched.",
    );
    return { y: f32(sizeOf(order.shape), lastAxis(x.shape)) };
  },
  gradient: ({ order, position }, { y: g }) => ({ x: apply(tokenSumOperation, { x: g, order, position }).y }),
  flops: () => 0,
  reference({ x, order, position }, { y }) {
    const active = lastAxis(position.shape);
    order.data.forEach((pair, row) => {
      expectIndex("expertRows", pair, row, order.size);
      const n = Math.floor(pair / active);
      for (let c = 0; c < lastAxis(x.shape); c++) y.set(row, c, x.at(n, c));
    });
  },
  compose: ({ x, order, position }) => ({ y: gather(x, tokensInOrder(order, lastAxis(position.shape))) }),
};

/** The sum of each token's rows. */
export const tokenSumOperation: Operation<["x", "order", "position"], ["y"]> = {
  name: "tokenSum",
  inputs: ["x", "order", "position"],
  outputs: ["y"],
  infer: ({ x, order, position }) => ({ y: sumOfRows("tokenSum", x, order, position) }),
  gradient: ({ order, position }, { y: g }) => ({ x: apply(expertRowsOperation, { x: g, order, position }).y }),
  flops: ({ x }) => sizeOf(x.shape),
  reference({ x, position }, { y }) {
    const active = lastAxis(position.shape);
    position.data.forEach((row, pair) => {
      expectIndex("tokenSum", row, pair, position.size);
      const n = Math.floor(pair / active);
      for (let c = 0; c < lastAxis(y.shape); c++) y.add(n, c, x.at(row, c));
    });
  },
  compose: ({ x, position }) => ({ y: sumLast(transpose(gather(x, position))) }),
};

/** The specification of the sums over each token's rows of x. Throws unless x has a row for each pair. */
export function sumOfRows(operation: string, x: TensorSpec, order: TensorSpec, position: TensorSpec): TensorSpec {
  expectPairs(operation, order, position);
  expectShapes(
    x.shape.length === 2 && rowCount(x.shape) === sizeOf(position.shape),
    operation,
    { x, position },
    "x must be [P, C] with one row for each pair.",
  );
  return f32(rowCount(position.shape), lastAxis(x.shape));
}

/**
 * Repeat each token's row for each of its experts. The rows of one expert are next to each other.
 *
 * @param x [N, C]
 * @returns [N · k, C]
 * @throws ShapeError when x does not hold the tokens that were dispatched
 */
export function expertRows(x: Tensor, { order, position }: Dispatch): Tensor {
  return apply(expertRowsOperation, { x, order, position }).y;
}
