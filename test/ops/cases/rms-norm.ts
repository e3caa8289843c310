// One row, several tiles, and a residual.

import { add } from "../../../src/ops/elementwise.ts";
import { rmsNorm } from "../../../src/ops/rms-norm.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

const rmsNormShapes: Shape[] = [[1, 5], [3, 8], [49, 33], [2, 50, 20], [7]];

/** What a residual branch looks like: the sum absorbs into the backward kernel. */
const residualNorm: OperationCase = {
  name: "rmsNorm [51, 13] with a residual",
  inputs: { x: { shape: [51, 13] }, w: { shape: [13] } },
  build: ({ x, w }) => add(x!, rmsNorm(x!, w!, 1e-20)),
};

export const rmsNormCases: readonly OperationCase[] = [
  ...rmsNormShapes.map((shape): OperationCase => ({
    name: `rmsNorm [${shape}]`,
    inputs: { x: { shape }, w: { shape: [shape.at(-1)!] } },
    build: ({ x, w }) => rmsNorm(x!, w!),
  })),
  residualNorm,
];
