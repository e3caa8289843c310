// Square and oblong matrices, none to many iterations, large values.

import { transportPlan } from "../../../src/ops/transport-plan.ts";
import type { OperationCase } from "../case.ts";

const planned = (shape: readonly number[], iterations: number, spread = 1): OperationCase => ({
  name: `transportPlan [${shape}], ${iterations} iterations, spread ${spread}`,
  inputs: {
    logits: {
      shape,
      values: (random) => spread * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
    },
  },
  build: ({ logits }) => transportPlan(logits!, { iterations }),
});

export const transportPlanCases: readonly OperationCase[] = [
  planned([1, 1], 3),
  planned([3, 5], 0),
  planned([5, 5], 1),
  planned([4, 6, 3], 5),
  planned([2, 3, 9, 17], 4),
  planned([3, 12, 12], 20),
  planned([2, 7, 7], 8, 5),
];
