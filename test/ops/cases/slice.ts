// Parts along the first, a middle and the last axis.

import { place, slice } from "../../../src/ops/slice.ts";
import { softmax } from "../../../src/ops/softmax.ts";
import type { OperationCase } from "../case.ts";

export const sliceCases: readonly OperationCase[] = [
  { name: "slice the first axis", inputs: { x: { shape: [60, 7] } }, build: ({ x }) => slice(x!, 0, 5, 50) },
  { name: "slice the middle axis", inputs: { x: { shape: [4, 9, 5] } }, build: ({ x }) => slice(x!, 1, 2, 6) },
  { name: "slice the last axis", inputs: { x: { shape: [51, 19] } }, build: ({ x }) => slice(x!, 1, 9, 10) },
  {
    name: "slice in a chain of rows",
    inputs: { x: { shape: [51, 19] } },
    build: ({ x }) => softmax(slice(softmax(x!), 1, 0, 9)),
  },
  { name: "place in the first axis", inputs: { x: { shape: [3, 7] } }, build: ({ x }) => place(x!, 0, 49, 55) },
  { name: "place in the last axis", inputs: { x: { shape: [50, 3] } }, build: ({ x }) => place(x!, 1, 4, 20) },
];
