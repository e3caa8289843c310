// Rows of one entry and of several.

import { maxLast } from "../../../src/ops/max-last.ts";
import type { OperationCase } from "../case.ts";

export const maxLastCases: readonly OperationCase[] = [[1], [7], [3, 50], [2, 5, 33]].map((shape): OperationCase => ({
  name: `maxLast [${shape}]`,
  inputs: { x: { shape } },
  constant: ["x"],
  build: ({ x }) => maxLast(x!),
}));
