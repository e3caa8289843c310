// One and several blocks.

import { sumSquares } from "../../../src/ops/sum-squares.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

function sumSquaresCase(shape: Shape): OperationCase {
  return { name: `sumSquares [${shape}]`, inputs: { x: { shape } }, constant: ["x"], build: ({ x }) => sumSquares(x!) };
}

export const sumSquaresCases: readonly OperationCase[] = [
  sumSquaresCase([]),
  sumSquaresCase([3, 7]),
  sumSquaresCase([131, 257]),
];
