// Rows by index: in any order, few, wide, and twice.

import { square } from "../../../src/ops/elementwise.ts";
import { embedding, gather, scatterAdd } from "../../../src/ops/gather.ts";
import type { OperationCase } from "../case.ts";

const below =
  (limit: number) =>
  (random: () => number): number =>
    Math.floor(limit * random());

export const gatherCases: readonly OperationCase[] = [
  {
    name: "gather rows in any order",
    inputs: { table: { shape: [7, 5] }, indices: { shape: [2, 26], dtype: "i32", values: below(7) } },
    build: ({ table, indices }) => gather(table!, indices!),
  },
  {
    name: "gather one row",
    inputs: { table: { shape: [50, 33] }, indices: { shape: [1], dtype: "i32", values: below(50) } },
    build: ({ table, indices }) => gather(table!, indices!),
  },
  {
    name: "embedding wider than one task, few rows used",
    inputs: {
      table: { shape: [300, 130] },
      tokens: { shape: [101], dtype: "i32", values: (random) => 3 * Math.floor(20 * random()) },
    },
    build: ({ table, tokens }) => embedding(table!, tokens!),
  },
  {
    name: "scatterAdd",
    inputs: { indices: { shape: [60], dtype: "i32", values: below(9) }, g: { shape: [60, 17] } },
    build: ({ indices, g }) => scatterAdd(indices!, g!, 11),
  },
  {
    name: "a table used twice: the sum of gradients starts from the other one",
    inputs: { table: { shape: [9, 70] }, indices: { shape: [53], dtype: "i32", values: below(9) } },
    build: ({ table, indices }) => [gather(table!, indices!), square(table!)],
  },
];
