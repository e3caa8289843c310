// One row, several tiles, large numbers.

import { swiglu } from "../../../src/ops/swiglu.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

export const swigluCases: readonly OperationCase[] = [
  ...([[1, 2], [3, 14], [2, 49, 40], [50, 2], [6]] satisfies Shape[]).map((shape): OperationCase => ({
    name: `swiglu [${shape}]`,
    inputs: { x: { shape, values: (random) => 8 * random() - 4 } },
    build: ({ x }) => swiglu(x!),
  })),
  {
    name: "swiglu of large numbers",
    inputs: { x: { shape: [2, 2060], values: (random, i) => (i % 3 === 0 ? 200 : 20) * (random() - 0.5) } },
    build: ({ x }) => swiglu(x!),
  },
];
