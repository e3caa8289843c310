import { add } from "../../../src/ops/elementwise.ts";
import { concat } from "../../../src/ops/concat.ts";
import { crossEntropy, crossEntropyWithLogSumExp } from "../../../src/ops/cross-entropy.ts";
import { multiply, square } from "../../../src/ops/elementwise.ts";
import { embedding, gather, scatterAdd } from "../../../src/ops/gather.ts";
import { permute } from "../../../src/ops/permute.ts";
import { broadcast, broadcastLast, mean, meanLast, sum, sumLast, sumLeading } from "../../../src/ops/reductions.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import { place, slice } from "../../../src/ops/slice.ts";
import { softmax } from "../../../src/ops/softmax.ts";
import { weightedSum } from "../../../src/ops/weighted-sum.ts";
import type { OperationCase } from "../case.ts";

const below =
  (limit: number) =>
  (random: () => number): number =>
    Math.floor(limit * random());
const name = (operation: string, shape: readonly number[]): string => `${operation} [${shape.join(", ")}]`;

const weightedSums: OperationCase[] = [
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

const sums: OperationCase[] = [
  ...[[], [1], [7], [3, 50], [5, 4001]].map((shape): OperationCase => ({
    name: name("sum", shape),
    inputs: { x: { shape } },
    build: ({ x }) => sum(square(x!)),
  })),
  { name: "mean [9, 5]", inputs: { x: { shape: [9, 5] } }, build: ({ x }) => mean(x!) },
  ...[
    [1, 1],
    [1, 7],
    [49, 33],
    [3, 40, 300],
    [48, 8],
  ].map((shape): OperationCase => ({
    name: name("sumLeading", shape),
    inputs: { x: { shape } },
    build: ({ x }) => sumLeading(x!, 1),
  })),
  { name: "sumLeading to two axes", inputs: { x: { shape: [100, 3, 5] } }, build: ({ x }) => sumLeading(x!, 2) },
  { name: "sumLeading to a scalar", inputs: { x: { shape: [10, 13] } }, build: ({ x }) => sumLeading(x!, 0) },
  ...[[1, 1], [4], [50, 3], [2, 51, 37]].map((shape): OperationCase => ({
    name: name("sumLast", shape),
    inputs: { x: { shape } },
    build: ({ x }) => sumLast(x!),
  })),
  { name: "meanLast [6, 11]", inputs: { x: { shape: [6, 11] } }, build: ({ x }) => meanLast(x!) },
];

const repeats: OperationCase[] = [
  { name: "broadcast a scalar", inputs: { x: { shape: [] } }, build: ({ x }) => broadcast(x!, [3, 21]) },
  { name: "broadcast one element", inputs: { x: { shape: [1] } }, build: ({ x }) => broadcast(x!, [53, 1]) },
  { name: "broadcast a row", inputs: { x: { shape: [5] } }, build: ({ x }) => broadcast(x!, [2, 51, 5]) },
  {
    name: "broadcast over several tasks",
    inputs: { x: { shape: [3, 67] } },
    build: ({ x }) => broadcast(x!, [50, 3, 67]),
  },
  {
    name: "broadcast in a chain of rows",
    inputs: { x: { shape: [49, 12] }, w: { shape: [12] } },
    build: ({ x, w }) => multiply(softmax(x!), broadcast(w!, [49, 12])),
  },
  { name: "broadcastLast of a scalar", inputs: { x: { shape: [] } }, build: ({ x }) => broadcastLast(x!, 9) },
  { name: "broadcastLast [50, 3]", inputs: { x: { shape: [50, 3] } }, build: ({ x }) => broadcastLast(x!, 11) },
];

const views: OperationCase[] = [
  {
    name: "reshape [6, 10]",
    inputs: { x: { shape: [6, 10] } },
    build: ({ x }) => square(reshape(square(x!), [4, 3, 5])),
  },
  { name: "reshape an input", inputs: { x: { shape: [12] } }, build: ({ x }) => square(reshape(x!, [3, 4])) },
  { name: "permute a matrix", inputs: { x: { shape: [50, 7] } }, build: ({ x }) => permute(x!, [1, 0]) },
  {
    name: "permute keeping rows",
    inputs: { x: { shape: [2, 5, 3, 18] } },
    build: ({ x }) => permute(x!, [0, 2, 1, 3]),
  },
  { name: "permute in a cycle", inputs: { x: { shape: [3, 4, 5] } }, build: ({ x }) => permute(x!, [2, 0, 1]) },
];

const parts: OperationCase[] = [
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
  {
    name: "concat three along the last axis",
    inputs: { a: { shape: [51, 3] }, b: { shape: [51, 16] }, c: { shape: [51, 1] } },
    build: ({ a, b, c }) => concat([a!, b!, c!], 1),
  },
  {
    name: "concat along the first axis",
    inputs: { a: { shape: [50, 2, 5] }, b: { shape: [1, 2, 5] } },
    build: ({ a, b }) => concat([a!, b!, a!], 0),
  },
  {
    name: "concat along the middle axis",
    inputs: { a: { shape: [3, 2, 5] }, b: { shape: [3, 4, 5] } },
    build: ({ a, b }) => concat([a!, b!], 1),
  },
];

const lookups: OperationCase[] = [
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

const logits = (shape: number[], spread = 1): OperationCase["inputs"][string] => ({
  shape,
  values: (random) => spread * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
});

const losses: OperationCase[] = [
  ...[[1], [1, 1], [3, 5], [50, 64], [2, 27, 9]].map((shape): OperationCase => ({
    name: name("softmax", shape),
    inputs: { x: { shape } },
    build: ({ x }) => softmax(x!),
  })),
  { name: "softmax of large values", inputs: { x: logits([5, 40], 30) }, build: ({ x }) => softmax(x!) },
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

export const generalCases: OperationCase[] = [
  ...sums,
  ...weightedSums,
  ...repeats,
  ...views,
  ...parts,
  ...lookups,
  ...losses,
];
