// Chunks that divide the rows, that do not, of one row, more than there are rows; losses that the gradient gives on its
// way, and losses that the gradient depends on.

import { square } from "../../../src/ops/elementwise.ts";
import { headCrossEntropy } from "../../../src/ops/head-cross-entropy.ts";
import type { OperationCase } from "../case.ts";

const inputs = (leading: readonly number[], C: number, V: number): OperationCase["inputs"] => ({
  x: { shape: [...leading, C] },
  w: { shape: [C, V] },
  targets: { shape: leading, dtype: "i32", values: (random) => Math.floor(V * random()) },
});

export const headCrossEntropyCases: readonly OperationCase[] = [
  ...(
    [
      [[12], 5, 7, 4],
      [[2, 9], 8, 33, 5],
      [[3], 4, 6, 1],
      [[5], 3, 1, 100],
    ] as const
  ).map(([leading, C, V, rows]): OperationCase => ({
    name: `headCrossEntropy [${[...leading, C].join(", ")}] · [${C}, ${V}] by ${rows} rows`,
    inputs: inputs(leading, C, V),
    build: ({ x, w, targets }) => headCrossEntropy(x!, w!, targets!, { rows }),
  })),
  {
    name: "headCrossEntropy whose gradient depends on the loss",
    inputs: inputs([7], 4, 6),
    build: ({ x, w, targets }) => square(headCrossEntropy(x!, w!, targets!, { rows: 3 })),
  },
  {
    name: "headCrossEntropy of few logits, which are stored",
    inputs: inputs([7], 4, 6),
    build: ({ x, w, targets }) => headCrossEntropy(x!, w!, targets!),
  },
];
