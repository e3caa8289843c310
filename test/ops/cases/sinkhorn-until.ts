// One matrix, more than a tile of 48, groups of eight that are not full, and lanes that stop at different iterations. The
// tolerance is that of rounding, so that one iteration more or fewer changes nothing that is compared.

import { sinkhornUntil } from "../../../src/ops/sinkhorn-until.ts";
import type { OperationCase } from "../case.ts";
import { normal } from "../harness.ts";

function matrices(shape: readonly number[], scale: number, most: number): OperationCase {
  return {
    name: `sinkhornUntil [${shape}], logits of scale ${scale}, at most ${most}`,
    inputs: { logits: { shape, values: (random) => scale * normal(random) } },
    build: ({ logits }) => sinkhornUntil(logits!, { tolerance: 1e-6, most }),
  };
}

export const sinkhornUntilCases: readonly OperationCase[] = [
  ...[
    [1, 1],
    [7, 2, 2],
    [3, 5, 3, 3],
    [100, 4, 4],
    [50, 8, 8],
  ].map((shape) => matrices(shape, 0.5, 100)),
  matrices([11, 4, 4], 0, 100),
  matrices([11, 4, 4], 3, 3),
];
