// Axes in other orders.

import { permute } from "../../../src/ops/permute.ts";
import type { OperationCase } from "../case.ts";

export const permuteCases: readonly OperationCase[] = [
  { name: "permute a matrix", inputs: { x: { shape: [50, 7] } }, build: ({ x }) => permute(x!, [1, 0]) },
  {
    name: "permute keeping rows",
    inputs: { x: { shape: [2, 5, 3, 18] } },
    build: ({ x }) => permute(x!, [0, 2, 1, 3]),
  },
  { name: "permute in a cycle", inputs: { x: { shape: [3, 4, 5] } }, build: ({ x }) => permute(x!, [2, 0, 1]) },
];
