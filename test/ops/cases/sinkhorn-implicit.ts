// One matrix, more than a tile of 48, groups of eight that are not full.

import type { Tensor } from "../../../src/graph/tensor.ts";
import { sinkhornImplicit } from "../../../src/ops/sinkhorn-implicit.ts";
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

/** sinkhornImplicit is the gradient of its values only in the limit: small logits and many iterations. */
const implicit = (logits: Tensor): Tensor => sinkhornImplicit(logits, { iterations: 60 });

export const sinkhornImplicitCases: readonly OperationCase[] = shapes.map((shape) =>
  matrices("sinkhornImplicit", shape, 0.5, implicit),
);
