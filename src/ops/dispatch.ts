// Question: in which order are tokens laid out for their experts?
//
// A pair is a token and one of its k experts; pair p = n·k + j is token n's j-th choice. There are always
// P = N·k pairs, and none is dropped. How many pairs each expert gets depends on the data. A counting sort orders the
// pairs by expert, and within an expert by token, so everything that follows has one fixed order:
//
//   order[r]      the pair in row r after sorting                i32 [P]
//   position[p]   the row of pair p: order[position[p]] = p      i32 [N, k]
//   offsets[e]    the first row of expert e; offsets[E] = P      i32 [E + 1]
//   load[e]       rows of expert e                               f32 [E]

import { apply, f32, type Operation, sameShape, sizeOf, type Tensor, type TensorSpec } from "../graph/tensor.ts";
import { concat } from "./concat.ts";
import { add, multiply, scale, shift } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { scatterAdd } from "./gather.ts";
import { expectIndex } from "./indices.ts";
import { lowerTriangle, oneHot, positions } from "./masks.ts";
import { matmul } from "./matmul.ts";
import { broadcast, sumLast, sumLeading } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";
import { slice } from "./slice.ts";
import { toFloats } from "./to-floats.ts";
import { toIndices } from "./to-indices.ts";

/** The layout of the pairs of tokens and experts; see the head of this file. */
export interface Dispatch {
  readonly order: Tensor;
  readonly position: Tensor;
  readonly offsets: Tensor;
  readonly load: Tensor;
}

export interface DispatchAttributes {
  /** E. */
  readonly experts: number;
}

export const dispatchOperation: Operation<["chosen"], ["order", "position", "offsets", "load"], DispatchAttributes> = {
  name: "dispatch",
  inputs: ["chosen"],
  outputs: ["order", "position", "offsets", "load"],
  infer({ chosen }, { experts }) {
    expectShapes(
      chosen.dtype === "i32" && chosen.shape.length === 2,
      "dispatch",
      { chosen },
      "the chosen experts must be i32 [N, k].",
    );
    return {
      order: { shape: [sizeOf(chosen.shape)], dtype: "i32" },
      position: { shape: chosen.shape, dtype: "i32" },
      offsets: { shape: [experts + 1], dtype: "i32" },
      load: f32(experts),
    };
  },
  flops: () => 0,
  reference({ chosen }, { order, position, offsets, load }, { experts }) {
    chosen.data.forEach((expert, pair) => {
      expectIndex("dispatch", expert, pair, experts);
      load.add(expert, 1);
    });
    for (let e = 0; e < experts; e++) offsets.set(e + 1, offsets.at(e) + load.at(e));
    const placed = Array<number>(experts).fill(0);
    chosen.data.forEach((expert, pair) => {
      const before = placed[expert] ?? 0;
      const row = offsets.at(expert) + before;
      placed[expert] = before + 1;
      order.set(row, pair);
      position.set(pair, row);
    });
  },
  compose({ chosen }, { experts }) {
    const P = sizeOf(chosen.shape);
    const mine = reshape(oneHot(chosen, experts), [P, experts]);
    const load = sumLeading(mine, 1);
    const ends = matmul(lowerTriangle(experts), reshape(load, [experts, 1]));
    const offsets = concat([fill([1], 0), reshape(ends, [experts])], 0);
    // The row of a pair is its expert's first row plus the number of that expert's pairs before it.
    const upToIt = matmul(lowerTriangle(P), mine);
    const before = add(shift(upToIt, -1), broadcast(slice(offsets, 0, 0, experts), mine.shape));
    const position = toIndices(sumLast(multiply(mine, before)));
    const order = scatterAdd(position, reshape(positions(P), [P, 1]), P);
    return {
      order: toIndices(reshape(order, [P])),
      position: reshape(position, chosen.shape),
      offsets: toIndices(offsets),
      load,
    };
  },
};

/** Throw unless order and position can come from one dispatch. */
export function expectPairs(operation: string, order: TensorSpec, position: TensorSpec): void {
  expectShapes(
    order.dtype === "i32" && position.dtype === "i32" && sameShape(order.shape, [sizeOf(position.shape)]),
    operation,
    { order, position },
    "order i32 [N · k] and position i32 [N, k] must come from the same dispatch().",
  );
}

/** For composed forms: the token of each sorted pair, order div k, i32 [P]. */
export function tokensInOrder(order: Tensor, active: number): Tensor {
  // n + (j − (k − 1) / 2) / k is nearest to n.
  return toIndices(scale(shift(toFloats(order), (1 - active) / 2), 1 / active));
}

/**
 * Sort the pairs of tokens and experts by expert.
 *
 * @param chosen i32 [N, k], each in [0, experts)
 * @param experts E
 */
export function dispatch(chosen: Tensor, experts: number): Dispatch {
  return apply(dispatchOperation, { chosen }, { experts });
}
