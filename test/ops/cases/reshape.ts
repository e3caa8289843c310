// Views of results and of inputs.

import { square } from "../../../src/ops/elementwise.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import type { OperationCase } from "../case.ts";

export const reshapeCases: readonly OperationCase[] = [
  {
    name: "reshape [6, 10]",
    inputs: { x: { shape: [6, 10] } },
    build: ({ x }) => square(reshape(square(x!), [4, 3, 5])),
  },
  { name: "reshape an input", inputs: { x: { shape: [12] } }, build: ({ x }) => square(reshape(x!, [3, 4])) },
];
