// Sums and repeats over blocks, rows and scalars.

import { multiply, square } from "../../../src/ops/elementwise.ts";
import { broadcast, broadcastLast, mean, meanLast, sum, sumLast, sumLeading } from "../../../src/ops/reductions.ts";
import { softmax } from "../../../src/ops/softmax.ts";
import type { OperationCase } from "../case.ts";

const name = (operation: string, shape: readonly number[]): string => `${operation} [${shape.join(", ")}]`;

export const reductionsCases: readonly OperationCase[] = [
  ...[[], [1], [7], [3, 50], [5, 4001]].map((shape): OperationCase => ({
    name: name("sum", shape),
    inputs: { x: { shape } },
    build: ({ x }) => sum(square(x!)),
  })),
  { name: "mean [9, 5]", inputs: { x: { shape: [9, 5] } }, build: ({ x }) => mean(x!) },
  ...[
    [1, 1],
    [1, 7],
    [49, 33],
    [3, 40, 300],
    [48, 8],
  ].map((shape): OperationCase => ({
    name: name("sumLeading", shape),
    inputs: { x: { shape } },
    build: ({ x }) => sumLeading(x!, 1),
  })),
  { name: "sumLeading to two axes", inputs: { x: { shape: [100, 3, 5] } }, build: ({ x }) => sumLeading(x!, 2) },
  { name: "sumLeading to a scalar", inputs: { x: { shape: [10, 13] } }, build: ({ x }) => sumLeading(x!, 0) },
  ...[[1, 1], [4], [50, 3], [2, 51, 37]].map((shape): OperationCase => ({
    name: name("sumLast", shape),
    inputs: { x: { shape } },
    build: ({ x }) => sumLast(x!),
  })),
  { name: "meanLast [6, 11]", inputs: { x: { shape: [6, 11] } }, build: ({ x }) => meanLast(x!) },
  { name: "broadcast a scalar", inputs: { x: { shape: [] } }, build: ({ x }) => broadcast(x!, [3, 21]) },
  { name: "broadcast one element", inputs: { x: { shape: [1] } }, build: ({ x }) => broadcast(x!, [53, 1]) },
  { name: "broadcast a row", inputs: { x: { shape: [5] } }, build: ({ x }) => broadcast(x!, [2, 51, 5]) },
  {
    name: "broadcast over several tasks",
    inputs: { x: { shape: [3, 67] } },
    build: ({ x }) => broadcast(x!, [50, 3, 67]),
  },
  {
    name: "broadcast in a chain of rows",
    inputs: { x: { shape: [49, 12] }, w: { shape: [12] } },
    build: ({ x, w }) => multiply(softmax(x!), broadcast(w!, [49, 12])),
  },
  { name: "broadcastLast of a scalar", inputs: { x: { shape: [] } }, build: ({ x }) => broadcastLast(x!, 9) },
  { name: "broadcastLast [50, 3]", inputs: { x: { shape: [50, 3] } }, build: ({ x }) => broadcastLast(x!, 11) },
];
