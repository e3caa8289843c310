// Norms above the limit, below it, and without one.

import { clipScale } from "../../../src/ops/clip-scale.ts";
import { sumSquares } from "../../../src/ops/sum-squares.ts";
import type { OperationCase } from "../case.ts";

function clipCase(name: string, limit: number | undefined): OperationCase {
  return {
    name: `clipScale, ${name}`,
    inputs: { x: { shape: [5, 7] }, y: { shape: [9] }, z: { shape: [] } },
    constant: ["x", "y", "z"],
    build: ({ x, y, z }) => clipScale([x!, y!, z!].map(sumSquares), limit),
  };
}

export const clipScaleCases: readonly OperationCase[] = [
  clipCase("clipping", 0.5),
  clipCase("not reached", 1000),
  clipCase("without a limit", undefined),
];
