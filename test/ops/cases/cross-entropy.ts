// Losses alone, over their logits, and with the log-sum-exp.

import { crossEntropy, crossEntropyWithLogSumExp } from "../../../src/ops/cross-entropy.ts";
import { add, square } from "../../../src/ops/elementwise.ts";
import { mean } from "../../../src/ops/reductions.ts";
import type { OperationCase } from "../case.ts";

const name = (operation: string, shape: readonly number[]): string => `${operation} [${shape.join(", ")}]`;

const below =
  (limit: number) =>
  (random: () => number): number =>
    Math.floor(limit * random());

const logits = (shape: number[], spread = 1): OperationCase["inputs"][string] => ({
  shape,
  values: (random) => spread * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
});

export const crossEntropyCases: readonly OperationCase[] = [
  ...[
    [1, 1],
    [1, 3],
    [50, 65],
    [2, 3, 2100],
  ].map((shape): OperationCase => ({
    name: name("crossEntropy", shape),
    inputs: { x: logits(shape, 3), targets: { shape: shape.slice(0, -1), dtype: "i32", values: below(shape.at(-1)!) } },
    build: ({ x, targets }) => crossEntropy(x!, targets!),
  })),
  {
    name: "crossEntropy written over its logits",
    inputs: { x: { shape: [49, 31] }, targets: { shape: [49], dtype: "i32", values: below(31) } },
    build: ({ x, targets }) => mean(crossEntropy(add(x!, square(x!)), targets!)),
  },
  {
    name: "crossEntropy and the log-sum-exp, both used",
    inputs: { x: { shape: [49, 31] }, targets: { shape: [49], dtype: "i32", values: below(31) } },
    build({ x, targets }) {
      const { loss, logSumExp } = crossEntropyWithLogSumExp(x!, targets!);
      return [loss, square(logSumExp)];
    },
  },
  {
    name: "the log-sum-exp alone",
    inputs: { x: { shape: [4, 6] }, targets: { shape: [4], dtype: "i32", values: below(6) } },
    build: ({ x, targets }) => crossEntropyWithLogSumExp(x!, targets!).logSumExp,
  },
];
