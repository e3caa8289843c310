// One matrix, more than a tile of 48, groups of eight that are not full, logits large and equal.

import type { Tensor } from "../../../src/graph/tensor.ts";
import { birkhoffProjection } from "../../../src/ops/birkhoff-projection.ts";
import type { OperationCase } from "../case.ts";
import { normal } from "../harness.ts";

const shapes = [
  [1, 1],
  [4, 4],
  [7, 2, 2],
  [3, 5, 3, 3],
  [100, 4, 4],
  [50, 8, 8],
];

function matrices(
  name: string,
  shape: readonly number[],
  scale: number,
  build: (logits: Tensor) => Tensor,
): OperationCase {
  return {
    name: `${name} [${shape}], logits of scale ${scale}`,
    inputs: { logits: { shape, values: (random) => scale * normal(random) } },
    build: ({ logits }) => build(logits!),
  };
}

export const birkhoffProjectionCases: readonly OperationCase[] = [
  ...shapes.map((shape) => matrices("birkhoffProjection", shape, 1, birkhoffProjection)),
  ...[0, 4, 10].map((scale) => matrices("birkhoffProjection", [11, 4, 4], scale, birkhoffProjection)),
];
