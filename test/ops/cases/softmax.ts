// Rows of one entry, of several blocks and of large values.

import { softmax } from "../../../src/ops/softmax.ts";
import type { OperationCase } from "../case.ts";

const name = (operation: string, shape: readonly number[]): string => `${operation} [${shape.join(", ")}]`;

const logits = (shape: number[], spread = 1): OperationCase["inputs"][string] => ({
  shape,
  values: (random) => spread * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
});

export const softmaxCases: readonly OperationCase[] = [
  ...[[1], [1, 1], [3, 5], [50, 64], [2, 27, 9]].map((shape): OperationCase => ({
    name: name("softmax", shape),
    inputs: { x: { shape } },
    build: ({ x }) => softmax(x!),
  })),
  { name: "softmax of large values", inputs: { x: logits([5, 40], 30) }, build: ({ x }) => softmax(x!) },
];
