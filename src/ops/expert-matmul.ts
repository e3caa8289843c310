// Products of many experts, each on rows of its own, as one operation.
//
//   expertMatmul   y[r] = x[r] · op(W[e])      for the rows r from offsets[e] to offsets[e + 1] − 1
//   expertOuter    W[e] = Σ over its rows of a[r]ᵀ b[r];  zeros for an expert without rows
//
// Gradients are these two again: dx = g · op(W[e])ᵀ row by row, dW[e] = Σ x[r]ᵀ g[r] (transposed if op is).
// Shapes: x [P, K], W [E, K, M] ([E, M, K] with transposed), y [P, M]; a [P, K], b [P, M]; offsets i32
// [E + 1] from dispatch(). How many rows an expert has is data, the number of all rows is not.

import { applyOne, f32, lastAxis, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

/** Whether each expert's matrix is used transposed. */
export interface ExpertMatmulAttributes {
  readonly transposed: boolean;
}

/** (x, W, offsets) → y. */
export const expertMatmulOperation: Operation<["x", "weights", "offsets"], ["y"], ExpertMatmulAttributes> = positional<
  ["x", "weights", "offsets"],
  ["y"],
  ExpertMatmulAttributes
>({
  name: "expertMatmul",
  inputs: ["x", "weights", "offsets"],
  outputs: ["y"],
  infer([x, weights, offsets], { transposed }) {
    const operands = { x: x!, weights: weights!, offsets: offsets! };
    expectShapes(
      x!.shape.length === 2 && weights!.shape.length === 3 && x!.shape[1] === weights!.shape[transposed ? 2 : 1],
      "expertMatmul",
      operands,
      `x must be [P, K] and the weights ${transposed ? "[E, M, K]" : "[E, K, M]"}.`,
    );
    expectOffsets("expertMatmul", operands, offsets!, weights!.shape[0]!);
    return [f32(x!.shape[0]!, weights!.shape[transposed ? 1 : 2]!)];
  },
  gradient({ inputs: [x, weights, offsets], attributes: { transposed } }, [g]) {
    const [a, b] = transposed ? [g!, x!] : [x!, g!];
    return [
      expertMatmul(g!, weights!, offsets!, { transposed: !transposed }),
      applyOne(expertOuterOperation, [a, b, offsets!], {}),
      undefined,
    ];
  },
  flops: ({ inputs: [x], outputs: [y] }) => 2 * sizeOf(x!.shape) * lastAxis(y!.shape),
  reference([x, weights, offsets], [y], { transposed }) {
    const [inner, columns] = [lastAxis(x!.shape), lastAxis(y!.shape)];
    forEachRow(offsets!.data, (row, expert) => {
      for (let m = 0; m < columns; m++) {
        for (let k = 0; k < inner; k++) {
          const at = expert * inner * columns + (transposed ? m * inner + k : k * columns + m);
          y!.data[row * columns + m]! += x!.data[row * inner + k]! * weights!.data[at]!;
        }
      }
    });
  },
});

/** (a, b, offsets) → W. */
export const expertOuterOperation: Operation<["a", "b", "offsets"], ["weights"]> = positional<
  ["a", "b", "offsets"],
  ["weights"],
  unknown
>({
  name: "expertOuter",
  inputs: ["a", "b", "offsets"],
  outputs: ["weights"],
  infer([a, b, offsets]) {
    const operands = { a: a!, b: b!, offsets: offsets! };
    expectShapes(
      a!.shape.length === 2 && b!.shape.length === 2 && a!.shape[0] === b!.shape[0],
      "expertOuter",
      operands,
      "a must be [P, K] and b [P, M].",
    );
    const experts = offsets!.shape[0]! - 1;
    expectOffsets("expertOuter", operands, offsets!, experts);
    return [f32(experts, a!.shape[1]!, b!.shape[1]!)];
  },
  gradient: ({ inputs: [a, b, offsets] }, [g]) => [
    expertMatmul(b!, g!, offsets!, { transposed: true }),
    expertMatmul(a!, g!, offsets!),
    undefined,
  ],
  flops: ({ inputs: [a, b] }) => 2 * sizeOf(a!.shape) * lastAxis(b!.shape),
  reference([a, b, offsets], [weights]) {
    const [inner, columns] = [lastAxis(a!.shape), lastAxis(b!.shape)];
    forEachRow(offsets!.data, (row, expert) => {
      for (let k = 0; k < inner; k++) {
        for (let m = 0; m < columns; m++)
          weights!.data[(expert * inner + k) * columns + m]! += a!.data[row * inner + k]! * b!.data[row * columns + m]!;
      }
    });
  },
});

function forEachRow(offsets: Float64Array, visit: (row: number, expert: number) => void): void {
  for (let expert = 0; expert + 1 < offsets.length; expert++) {
    for (let row = offsets[expert]!; row < offsets[expert + 1]!; row++) visit(row, expert);
  }
}

function expectOffsets(
  operation: string,
  operands: Readonly<
    Record<string, Tensor | { readonly shape: readonly number[]; readonly dtype: "f32" | "i32" | "bf16" }>
  >,
  offsets: { readonly shape: readonly number[]; readonly dtype: string },
  experts: number,
): void {
  expectShapes(
    offsets.dtype === "i32" && offsets.shape.length === 1 && offsets.shape[0] === experts + 1 && experts >= 1,
    operation,
    operands,
    "offsets must be i32 [E + 1], those of the dispatch() that sorted the rows.",
  );
}

/**
 * Each row times the matrix of its expert.
 *
 * @param x [P, K], the rows of one expert side by side, as `expertRows` gives them
 * @param weights [E, K, M], or [E, M, K] with transposed
 * @param offsets i32 [E + 1] from `dispatch`
 * @returns [P, M]
 * @throws ShapeError when the operands do not fit
 */
export function expertMatmul(
  x: Tensor,
  weights: Tensor,
  offsets: Tensor,
  { transposed = false }: Partial<ExpertMatmulAttributes> = {},
): Tensor {
  return applyOne(expertMatmulOperation, [x, weights, offsets], { transposed });
}
