// One value, as an operand.

import { multiply } from "../../../src/ops/elementwise.ts";
import { fill } from "../../../src/ops/fill.ts";
import type { OperationCase } from "../case.ts";

export const fillCases: readonly OperationCase[] = [
  { name: "fill", inputs: { x: { shape: [61] } }, build: ({ x }) => multiply(x!, fill([61], 2.5)) },
];
