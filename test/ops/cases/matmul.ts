// One row, no multiple of a vector, several tiles; flags; sums.

import type { Tensor } from "../../../src/graph/tensor.ts";
import { add } from "../../../src/ops/elementwise.ts";
import { matmul, type MatmulAttributes } from "../../../src/ops/matmul.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

type Build = (inputs: Record<string, Tensor>) => Tensor | readonly Tensor[];

function matmulCase(a: Shape, b: Shape, flags: Partial<MatmulAttributes> = {}): OperationCase {
  return {
    name: `matmul [${a}] · [${b}]${showFlags(flags)}`,
    inputs: { a: { shape: a }, b: { shape: b } },
    build: ({ a, b }) => matmul(a!, b!, flags),
  };
}

/** c + product, and the product's operands used twice, so that every gradient is a sum as well. */
function accumulatingCase(a: Shape, b: Shape, c: Shape, flags: Partial<MatmulAttributes>): OperationCase {
  const build: Build = ({ a, b, c }) => add(add(c!, matmul(a!, b!, flags)), matmul(a!, b!, flags));
  return {
    name: `[${c}] + 2 · matmul [${a}] · [${b}]${showFlags(flags)}`,
    inputs: { a: { shape: a }, b: { shape: b }, c: { shape: c } },
    build,
  };
}

function showFlags({ transposeA, transposeB }: Partial<MatmulAttributes>): string {
  return `${transposeA ? " transposeA" : ""}${transposeB ? " transposeB" : ""}`;
}

export const matmulCases: readonly OperationCase[] = [
  matmulCase([1, 1], [1, 1]),
  matmulCase([1, 7], [7, 5]),
  matmulCase([2, 3, 9], [9, 77]),
  matmulCase([16, 20], [20, 40]),
  accumulatingCase([3, 7], [7, 19], [3, 19], {}),
  matmulCase([50, 19], [19, 33]),
  matmulCase([2, 49, 8], [8, 16]),
  matmulCase([97, 24], [24, 130]),
  matmulCase([50, 19], [33, 19], { transposeB: true }),
  matmulCase([2, 3, 19], [17, 19], { transposeB: true }),
  matmulCase([53, 9], [53, 21], { transposeA: true }),
  matmulCase([2, 5, 100], [2, 5, 131], { transposeA: true }),
  matmulCase([19, 50], [33, 19], { transposeA: true, transposeB: true }),
  accumulatingCase([50, 7], [7, 9], [50, 9], {}),
  accumulatingCase([50, 7], [9, 7], [50, 9], { transposeB: true }),
  accumulatingCase([7, 50], [7, 9], [50, 9], { transposeA: true }),
  accumulatingCase([7, 50], [9, 7], [50, 9], { transposeA: true, transposeB: true }),
];
