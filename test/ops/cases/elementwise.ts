import { add } from "../../../src/ops/elementwise.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import {
  divide,
  exp,
  gelu,
  log,
  multiply,
  negate,
  reciprocal,
  relu,
  scale,
  shift,
  sigmoid,
  silu,
  sqrt,
  square,
  subtract,
  tanh,
} from "../../../src/ops/elementwise.ts";
import type { OperationCase } from "../case.ts";

const positive = (random: () => number): number => 0.2 + 3 * random();
const awayFromZero = (random: () => number): number => (random() < 0.5 ? -1 : 1) * (0.1 + 2 * random());
/** Far into both tails, where a naive formula overflows. */
const wide = (random: () => number): number => 200 * random() - 100;

/** One element, a scalar tail only, several tasks with a tail. */
const shapes = [[], [5], [3, 50], [1, 4096 * 2 + 13]];

const curves: readonly { name: string; of: (x: Tensor) => Tensor; values?: (random: () => number) => number }[] = [
  { name: "exp", of: exp },
  { name: "log", of: log, values: positive },
  { name: "tanh", of: tanh },
  { name: "sigmoid", of: sigmoid },
  { name: "silu", of: silu },
  { name: "gelu", of: gelu },
  { name: "relu", of: relu, values: awayFromZero },
  { name: "square", of: square },
  { name: "sqrt", of: sqrt, values: positive },
  { name: "reciprocal", of: reciprocal, values: awayFromZero },
  { name: "scale by 3", of: (x) => scale(x, 3) },
  { name: "shift by -0.5", of: (x) => shift(x, -0.5) },
  { name: "negate", of: negate },
];

const pairs: readonly {
  name: string;
  of: (a: Tensor, b: Tensor) => Tensor;
  values?: (random: () => number) => number;
}[] = [
  { name: "add", of: add },
  { name: "subtract", of: subtract },
  { name: "multiply", of: multiply },
  { name: "divide", of: divide, values: awayFromZero },
];

const one = curves.flatMap(({ name, of, values }): OperationCase[] =>
  shapes.map((shape) => ({
    name: `${name} [${shape.join(", ")}]`,
    inputs: { x: { shape, ...(values && { values }) } },
    build: ({ x }) => of(x!),
  })),
);

const two = pairs.flatMap(({ name, of, values }): OperationCase[] =>
  shapes.map((shape) => ({
    name: `${name} [${shape.join(", ")}]`,
    inputs: { a: { shape }, b: { shape, ...(values && { values }) } },
    build: ({ a, b }) => of(a!, b!),
  })),
);

const tails = ["tanh", "sigmoid", "silu", "gelu"].map((name): OperationCase => ({
  name: `${name}, far from zero`,
  inputs: { x: { shape: [97], values: wide } },
  build: ({ x }) => curves.find((curve) => curve.name === name)!.of(x!),
}));

export const elementwiseCases: OperationCase[] = [
  ...one,
  ...two,
  ...tails,
  {
    name: "a chain of arithmetic, written in place",
    inputs: { a: { shape: [7, 33] }, b: { shape: [7, 33] } },
    build: ({ a, b }) => silu(add(multiply(tanh(a!), b!), scale(exp(subtract(a!, b!)), 0.1))),
  },
  { name: "x used twice by one operation", inputs: { x: { shape: [50, 3] } }, build: ({ x }) => multiply(x!, x!) },
];
