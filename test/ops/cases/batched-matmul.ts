// Batches of products, with and without flags.

import { batchedMatmul } from "../../../src/ops/batched-matmul.ts";
import type { MatmulAttributes } from "../../../src/ops/matmul.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

function batchedCase(a: Shape, b: Shape, flags: Partial<MatmulAttributes> = {}): OperationCase {
  return {
    name: `batchedMatmul [${a}] · [${b}]${showFlags(flags)}`,
    inputs: { a: { shape: a }, b: { shape: b } },
    build: ({ a, b }) => batchedMatmul(a!, b!, flags),
  };
}

function showFlags({ transposeA, transposeB }: Partial<MatmulAttributes>): string {
  return `${transposeA ? " transposeA" : ""}${transposeB ? " transposeB" : ""}`;
}

export const batchedMatmulCases: readonly OperationCase[] = [
  batchedCase([3, 5, 7], [3, 7, 9]),
  batchedCase([2, 2, 49, 4], [2, 2, 17, 4], { transposeB: true }),
  batchedCase([2, 9, 101], [2, 9, 6], { transposeA: true }),
  batchedCase([20, 4, 4], [20, 4, 4], { transposeA: true, transposeB: true }),
];
