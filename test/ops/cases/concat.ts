// Tensors joined along the first, a middle and the last axis.

import { concat } from "../../../src/ops/concat.ts";
import type { OperationCase } from "../case.ts";

export const concatCases: readonly OperationCase[] = [
  {
    name: "concat three along the last axis",
    inputs: { a: { shape: [51, 3] }, b: { shape: [51, 16] }, c: { shape: [51, 1] } },
    build: ({ a, b, c }) => concat([a!, b!, c!], 1),
  },
  {
    name: "concat along the first axis",
    inputs: { a: { shape: [50, 2, 5] }, b: { shape: [1, 2, 5] } },
    build: ({ a, b }) => concat([a!, b!, a!], 0),
  },
  {
    name: "concat along the middle axis",
    inputs: { a: { shape: [3, 2, 5] }, b: { shape: [3, 4, 5] } },
    build: ({ a, b }) => concat([a!, b!], 1),
  },
];
