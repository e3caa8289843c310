// Choices of every shape.

import { select } from "../../../src/ops/select.ts";
import type { OperationCase } from "../case.ts";

export const selectCases: readonly OperationCase[] = [[], [5], [3, 50]].map((shape): OperationCase => ({
  name: `select [${shape}]`,
  inputs: { condition: { shape }, a: { shape }, b: { shape } },
  constant: ["condition"],
  build: ({ condition, a, b }) => select(condition!, a!, b!),
}));
