// How do tokens get to their experts and back?
//
// A pair is a token and one of its k experts; pair p = n·k + j is token n's j-th choice. There are always
// P = N·k pairs, none is dropped; how many each expert gets is data. A counting sort orders them by
// expert, and by token among those of one expert, so everything below has one fixed order:
//
//   order[r]      the pair in row r of the sorted ones           i32 [P]
//   position[p]   the row of pair p: order[position[p]] = p      i32 [N, k]
//   offsets[e]    the first row of expert e; offsets[E] = P      i32 [E + 1]
//   load[e]       rows of expert e                               f32 [E]
//
//   expertRows    y[r] = x[order[r] div k]                       [N, C] → [P, C]
//   tokenSum      y[n] = Σ_j x[position[n, j]]                   [P, C] → [N, C], the transpose of expertRows
//   expertSum     y[n] = Σ_j w[n, j] · x[position[n, j]]         [P, C] → [N, C]
//                 dx[r] = w[p] · g[n],  dw[p] = x[r] · g[n]       with p = order[r], n = p div k

import {
  apply,
  applyAll,
  f32,
  lastAxis,
  type Operation,
  rowCount,
  sameShape,
  sizeOf,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
import { expectIndex } from "./indices.ts";
import { expectShapes } from "./shapes.ts";

type NoAttributes = Record<string, never>;

/** Where the pairs of tokens and experts lie; see the head of this file. */
export interface Dispatch {
  readonly order: Tensor;
  readonly position: Tensor;
  readonly offsets: Tensor;
  readonly load: Tensor;
}

export const dispatchOperation: Operation<{ readonly experts: number }> = {
  name: "dispatch",
  infer([chosen], { experts }) {
    expectShapes(
      chosen!.dtype === "i32" && chosen!.shape.length === 2,
      "dispatch",
      { chosen: chosen! },
      "the chosen experts must be i32 [N, k].",
    );
    return [
      { shape: [sizeOf(chosen!.shape)], dtype: "i32" },
      { shape: chosen!.shape, dtype: "i32" },
      { shape: [experts + 1], dtype: "i32" },
      f32(experts),
    ];
  },
  flops: () => 0,
  reference([chosen], [order, position, offsets, load], { experts }) {
    chosen!.data.forEach((expert, pair) => {
      expectIndex("dispatch", expert, pair, experts);
      load!.data[expert]!++;
    });
    for (let e = 0; e < experts; e++) offsets!.data[e + 1] = offsets!.data[e]! + load!.data[e]!;
    const next = offsets!.data.slice();
    chosen!.data.forEach((expert, pair) => {
      const row = next[expert]!++;
      order!.data[row] = pair;
      position!.data[pair] = row;
    });
  },
};

/** (x, order, position) → the rows of x, one for each pair. */
export const expertRowsOperation: Operation<NoAttributes> = {
  name: "expertRows",
  infer([x, order, position]) {
    expectPairs("expertRows", order!, position!);
    expectShapes(
      x!.shape.length === 2 && x!.shape[0] === position!.shape[0],
      "expertRows",
      { x: x!, position: position! },
      "x must be [N, C] with the tokens that were dispatched.",
    );
    return [f32(order!.shape[0]!, x!.shape[1]!)];
  },
  gradient: ({ inputs: [, order, position] }, [g]) => [
    apply(tokenSumOperation, [g!, order!, position!], {}),
    undefined,
    undefined,
  ],
  flops: () => 0,
  reference([x, order, position], [y]) {
    const size = lastAxis(x!.shape);
    const active = lastAxis(position!.shape);
    order!.data.forEach((pair, row) => {
      const n = Math.floor(pair / active);
      for (let c = 0; c < size; c++) y!.data[row * size + c] = x!.data[n * size + c]!;
    });
  },
};

/** (x, order, position) → the sum of each token's rows. */
export const tokenSumOperation: Operation<NoAttributes> = {
  name: "tokenSum",
  infer: ([x, order, position]) => [sumSpec("tokenSum", x!, order!, position!)],
  gradient: ({ inputs: [, order, position] }, [g]) => [
    apply(expertRowsOperation, [g!, order!, position!], {}),
    undefined,
    undefined,
  ],
  flops: ({ inputs: [x] }) => sizeOf(x!.shape),
  reference: ([x, , position], [y]) => addRows(x!.data, position!.data, undefined, y!.data, lastAxis(y!.shape)),
};

/** (x, order, position, weights) → the weighted sum of each token's rows. */
export const expertSumOperation: Operation<NoAttributes> = {
  name: "expertSum",
  infer([x, order, position, weights]) {
    expectShapes(
      sameShape(position!.shape, weights!.shape),
      "expertSum",
      { position: position!, weights: weights! },
      "there must be one weight for each pair, [N, k].",
    );
    return [sumSpec("expertSum", x!, order!, position!)];
  },
  gradient({ inputs: [x, order, , weights] }, [g]) {
    const [dx, dWeights] = applyAll(expertSumBackwardOperation, [x!, order!, weights!, g!], {});
    return [dx, undefined, undefined, dWeights];
  },
  flops: ({ inputs: [x] }) => 2 * sizeOf(x!.shape),
  reference: ([x, , position, weights], [y]) =>
    addRows(x!.data, position!.data, weights!.data, y!.data, lastAxis(y!.shape)),
};

/** (x, order, weights, g) → (dx, dweights). */
export const expertSumBackwardOperation: Operation<NoAttributes> = {
  name: "expertSumBackward",
  infer: ([x, , weights]) => [f32(...x!.shape), f32(...weights!.shape)],
  flops: ({ inputs: [x] }) => 3 * sizeOf(x!.shape),
  reference([x, order, weights, g], [dx, dWeights]) {
    const size = lastAxis(x!.shape);
    const active = lastAxis(weights!.shape);
    order!.data.forEach((pair, row) => {
      const from = Math.floor(pair / active) * size;
      for (let c = 0; c < size; c++) {
        dx!.data[row * size + c] = weights!.data[pair]! * g!.data[from + c]!;
        dWeights!.data[pair]! += x!.data[row * size + c]! * g!.data[from + c]!;
      }
    });
  },
};

function addRows(
  x: Float64Array,
  position: Float64Array,
  weights: Float64Array | undefined,
  y: Float64Array,
  size: number,
): void {
  const active = (position.length * size) / y.length;
  position.forEach((row, pair) => {
    const to = Math.floor(pair / active) * size;
    for (let c = 0; c < size; c++) y[to + c]! += (weights ? weights[pair]! : 1) * x[row * size + c]!;
  });
}

function expectPairs(operation: string, order: TensorSpec, position: TensorSpec): void {
  expectShapes(
    order.dtype === "i32" && position.dtype === "i32" && sameShape(order.shape, [sizeOf(position.shape)]),
    operation,
    { order, position },
    "order i32 [N · k] and position i32 [N, k] must be those of one dispatch().",
  );
}

function sumSpec(operation: string, x: TensorSpec, order: TensorSpec, position: TensorSpec): TensorSpec {
  expectPairs(operation, order, position);
  expectShapes(
    x.shape.length === 2 && rowCount(x.shape) === sizeOf(position.shape),
    operation,
    { x, position },
    "x must be [P, C] with one row for each pair.",
  );
  return f32(position.shape[0]!, x.shape[1]!);
}

/**
 * Sort the pairs of tokens and experts by expert.
 *
 * @param chosen i32 [N, k], each in [0, experts)
 * @param experts E
 */
export function dispatch(chosen: Tensor, experts: number): Dispatch {
  const [order, position, offsets, load] = applyAll(dispatchOperation, [chosen], { experts }) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  return { order, position, offsets, load };
}

/**
 * Each token's row once for each of its experts, those of one expert side by side.
 *
 * @param x [N, C]
 * @returns [N · k, C]
 * @throws ShapeError when x holds other tokens than were dispatched
 */
export function expertRows(x: Tensor, { order, position }: Dispatch): Tensor {
  return apply(expertRowsOperation, [x, order, position], {});
}

/**
 * Bring the experts' results back to their tokens.
 *
 * @param x [N · k, C], in the order of `expertRows`
 * @param weights [N, k]
 * @returns [N, C]
 * @throws ShapeError when x or the weights do not belong to the dispatch
 */
export function expertSum(x: Tensor, { order, position }: Dispatch, weights: Tensor): Tensor {
  return apply(expertSumOperation, [x, order, position, weights], {});
}
