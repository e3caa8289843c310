// Question: how are the products of many experts, each with its own rows, one operation?
//
//   expertMatmul   y[r] = x[r] · op(W[e])      for the rows r from offsets[e] to offsets[e + 1] − 1
//   expertOuter    W[e] = Σ over the rows r of e of a[r]ᵀ b[r];  zeros for an expert without rows
//
// The gradients are these two operations again: dx = g · op(W[e])ᵀ row by row, dW[e] = Σ x[r]ᵀ g[r] (transposed if op is).
// Shapes: x [P, K], W [E, K, M] ([E, M, K] with transposed), y [P, M]; a [P, K], b [P, M]; offsets i32
// [E + 1] from dispatch(). How many rows an expert has depends on the data; the total number of rows does not.

import { expectFields } from "../basics/fields.ts";
import {
  apply,
  f32,
  lastAxis,
  type Operation,
  rowCount,
  type Shape,
  sizeOf,
  type Tensor,
  type TensorSpec,
  type Values,
} from "../graph/tensor.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { addScaled, dot } from "./dot.ts";
import { multiply, shift, subtract } from "./elementwise.ts";
import { positions, positive, scaleRows } from "./masks.ts";
import { broadcast, broadcastLast, sumLeading } from "./reductions.ts";
import { expectShapes } from "./shapes.ts";
import { slice } from "./slice.ts";
import { toFloats } from "./to-floats.ts";

/** Whether each expert's matrix is used transposed. */
export interface ExpertMatmulAttributes {
  readonly transposed: boolean;
}

export const expertMatmulOperation: Operation<["x", "weights", "offsets"], ["y"], ExpertMatmulAttributes> = {
  name: "expertMatmul",
  inputs: ["x", "weights", "offsets"],
  outputs: ["y"],
  infer({ x, weights, offsets }, { transposed }) {
    expectShapes(
      x.shape.length === 2 && weights.shape.length === 3 && x.shape[1] === weights.shape[transposed ? 2 : 1],
      "expertMatmul",
      { x, weights, offsets },
      `x must be [P, K] and the weights ${transposed ? "[E, M, K]" : "[E, K, M]"}.`,
    );
    const [experts = 1, rows = 1, columns = 1] = weights.shape;
    expectOffsets("expertMatmul", { x, weights, offsets }, offsets, experts);
    return { y: f32(rowCount(x.shape), transposed ? rows : columns) };
  },
  gradient({ x, weights, offsets }, { y: g }, { transposed }) {
    const [a, b] = transposed ? [g, x] : [x, g];
    return {
      x: expertMatmul(g, weights, offsets, { transposed: !transposed }),
      weights: apply(expertOuterOperation, { a, b, offsets }).weights,
    };
  },
  flops: ({ x, y }) => 2 * sizeOf(x.shape) * lastAxis(y.shape),
  reference({ x, weights, offsets }, { y }, { transposed }) {
    const [K, M] = [lastAxis(x.shape), lastAxis(y.shape)];
    forEachRow(offsets, (r, e) => {
      for (let m = 0; m < M; m++) {
        const column = transposed ? weights.place(e, m, 0) : weights.place(e, 0, m);
        y.set(r, m, dot(x, r * K, weights, column, K, 1, transposed ? 1 : M));
      }
    });
  },
  // Every expert works on all rows, with the rows of other experts set to zero.
  compose: ({ x, weights, offsets }, { transposed }) => ({
    y: sumLeading(batchedMatmul(rowsOfExperts(x, offsets), weights, { transposeB: transposed }), 2),
  }),
};

export const expertOuterOperation: Operation<["a", "b", "offsets"], ["weights"]> = {
  name: "expertOuter",
  inputs: ["a", "b", "offsets"],
  outputs: ["weights"],
  infer({ a, b, offsets }) {
    expectShapes(
      a.shape.length === 2 && b.shape.length === 2 && a.shape[0] === b.shape[0],
      "expertOuter",
      { a, b, offsets },
      "a must be [P, K] and b [P, M].",
    );
    const experts = sizeOf(offsets.shape) - 1;
    expectOffsets("expertOuter", { a, b, offsets }, offsets, experts);
    return { weights: f32(experts, lastAxis(a.shape), lastAxis(b.shape)) };
  },
  gradient: ({ a, b, offsets }, { weights: g }) => ({
    a: expertMatmul(b, g, offsets, { transposed: true }),
    b: expertMatmul(a, g, offsets),
  }),
  flops: ({ a, b }) => 2 * sizeOf(a.shape) * lastAxis(b.shape),
  reference({ a, b, offsets }, { weights }) {
    forEachRow(offsets, (r, e) => {
      for (let k = 0; k < lastAxis(a.shape); k++)
        addScaled(weights, weights.place(e, k, 0), a.at(r, k), b, r * lastAxis(b.shape), lastAxis(b.shape));
    });
  },
  compose({ a, b, offsets }) {
    const rows = rowsOfExperts(a, offsets);
    const all = broadcast(b, [...rows.shape.slice(0, 1), ...b.shape]);
    return { weights: batchedMatmul(rows, all, { transposeA: true }) };
  },
};

function forEachRow(offsets: Values, visit: (row: number, expert: number) => void): void {
  for (let expert = 0; expert + 1 < offsets.size; expert++) {
    for (let row = offsets.at(expert); row < offsets.at(expert + 1); row++) visit(row, expert);
  }
}

/** For composed forms: x [P, K] once for each expert, with the rows of other experts set to zero, [E, P, K]. */
function rowsOfExperts(x: Tensor, offsets: Tensor): Tensor {
  const experts = sizeOf(offsets.shape) - 1;
  const P = rowCount(x.shape);
  const edges = toFloats(offsets);
  const row = broadcast(positions(P), [experts, P]);
  const bound = (start: number): Tensor => broadcastLast(slice(edges, 0, start, experts), P);
  const begun = positive(shift(subtract(row, bound(0)), 0.5));
  const notEnded = positive(shift(subtract(bound(1), row), -0.5));
  return scaleRows(broadcast(x, [experts, ...x.shape]), multiply(begun, notEnded));
}

function expectOffsets(
  operation: string,
  operands: Readonly<Record<string, TensorSpec | Shape>>,
  offsets: TensorSpec,
  experts: number,
): void {
  expectShapes(
    offsets.dtype === "i32" && offsets.shape.length === 1 && offsets.shape[0] === experts + 1 && experts >= 1,
    operation,
    operands,
    "offsets must be i32 [E + 1], from the dispatch() that sorted the rows.",
  );
}

/**
 * Each row times the matrix of its expert.
 *
 * @param x [P, K], the rows of each expert next to each other, as `expertRows` gives them
 * @param weights [E, K, M], or [E, M, K] with transposed
 * @param offsets i32 [E + 1] from `dispatch`
 * @returns [P, M]
 * @throws ShapeError when the operands do not fit
 */
export function expertMatmul(
  x: Tensor,
  weights: Tensor,
  offsets: Tensor,
  options: Partial<ExpertMatmulAttributes> = {},
): Tensor {
  expectFields("expertMatmul", options, { transposed: "flag" });
  if (typeof offsets === "object" && "offsets" in offsets)
    throw new TypeError(
      "expertMatmul: offsets is what dispatch() returned; it must be a tensor, i32 [E + 1]. Give its field offsets.",
    );
  const { transposed = false } = options;
  return apply(expertMatmulOperation, { x, weights, offsets }, { transposed }).y;
}
