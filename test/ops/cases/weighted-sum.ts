// Rows weighted one by one: one source and many.

import { weightedSum } from "../../../src/ops/weighted-sum.ts";
import type { OperationCase } from "../case.ts";

export const weightedSumCases: readonly OperationCase[] = [
  [1, 1, 1],
  [1, 3, 5],
  [2, 49, 7],
  [3, 100, 33],
  [9, 6, 40],
  [17, 50, 8],
].map(([k, rows, size]): OperationCase => {
  const sources = Array.from({ length: k! }, (_, i) => `s${i}`);
  return {
    name: `weightedSum of ${k} [${rows}, ${size}]`,
    inputs: {
      w: { shape: [rows!, k!] },
      ...Object.fromEntries(sources.map((source) => [source, { shape: [rows!, size!] }])),
    },
    build: ({ w, ...rest }) =>
      weightedSum(
        w!,
        sources.map((source) => rest[source]!),
      ),
  };
});
