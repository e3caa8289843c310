// The primitives that only composed forms use.

import { maxLast } from "../../../src/ops/max-last.ts";
import { select } from "../../../src/ops/select.ts";
import { toFloats } from "../../../src/ops/to-floats.ts";
import { toIndices } from "../../../src/ops/to-indices.ts";
import type { OperationCase } from "../case.ts";

export const primitiveCases: OperationCase[] = [
  ...[[], [5], [3, 50]].map((shape): OperationCase => ({
    name: `select [${shape}]`,
    inputs: { condition: { shape }, a: { shape }, b: { shape } },
    constant: ["condition"],
    build: ({ condition, a, b }) => select(condition!, a!, b!),
  })),
  ...[[1], [7], [3, 50], [2, 5, 33]].map((shape): OperationCase => ({
    name: `maxLast [${shape}]`,
    inputs: { x: { shape } },
    constant: ["x"],
    build: ({ x }) => maxLast(x!),
  })),
  {
    name: "toFloats and toIndices",
    inputs: { indices: { shape: [3, 4], dtype: "i32", values: (_, i) => 5 * i - 7 } },
    build: ({ indices }) => toFloats(toIndices(toFloats(indices!))),
  },
];
