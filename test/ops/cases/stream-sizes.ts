// Question: at which sizes are operations on streams checked?
//
// One token, one to eight streams, channels that are no multiple of a vector, several tiles of 48 tokens.

import type { Tensor } from "../../../src/graph/tensor.ts";
import { streamRead } from "../../../src/ops/stream-read.ts";
import { streamWrite } from "../../../src/ops/stream-write.ts";
import type { OperationCase } from "../case.ts";

/** [tokens, streams, channels]. */
export type Sizes = readonly [number, number, number];

export const sizes: readonly Sizes[] = [
  [1, 1, 5],
  [3, 2, 12],
  [5, 3, 5],
  [50, 4, 12],
  [100, 4, 33],
  [7, 4, 72],
  [49, 4, 5],
  [50, 8, 12],
  [2, 8, 70],
];
export const fewSizes: readonly Sizes[] = [
  [1, 1, 5],
  [3, 2, 12],
  [9, 3, 5],
  [50, 4, 12],
  [100, 4, 33],
  [11, 8, 12],
];

export const normals =
  (scale: number) =>
  (random: () => number): number =>
    scale * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** A sublayer without a block: all gradients of x meet, and absorb one another. */
export function sublayer(
  name: string,
  inputs: OperationCase["inputs"],
  coefficients: (inputs: Record<string, Tensor>) => Tensor,
): OperationCase {
  return {
    name,
    inputs,
    build(tensors) {
      const h = coefficients(tensors);
      return streamWrite(tensors.x!, h, streamRead(tensors.x!, h));
    },
  };
}
