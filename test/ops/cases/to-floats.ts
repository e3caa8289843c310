// Indices as numbers, and back.

import { toFloats } from "../../../src/ops/to-floats.ts";
import { toIndices } from "../../../src/ops/to-indices.ts";
import type { OperationCase } from "../case.ts";

export const toFloatsCases: readonly OperationCase[] = [
  {
    name: "toFloats and toIndices",
    inputs: { indices: { shape: [3, 4], dtype: "i32", values: (_, i) => 5 * i - 7 } },
    build: ({ indices }) => toFloats(toIndices(toFloats(indices!))),
  },
];
