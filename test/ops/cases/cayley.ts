// One matrix, groups of eight that are not full, more than a tile of 48.

import { cayley, rotationSize } from "../../../src/ops/cayley.ts";
import type { OperationCase } from "../case.ts";

function rotations(shape: readonly number[], m: number): OperationCase {
  return {
    name: `cayley [${shape}] in ${m} dimensions`,
    inputs: { logits: { shape: [...shape, rotationSize(m)] } },
    build: ({ logits }) => cayley(logits!, m),
  };
}

export const cayleyCases: readonly OperationCase[] = [
  rotations([], 2),
  rotations([7], 2),
  rotations([3, 5], 3),
  rotations([100], 4),
  rotations([11], 7),
  rotations([50], 8),
];
