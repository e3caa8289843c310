// The stream operations at odd sizes: one token, one to eight streams, channels that are no multiple of
// a vector, several tiles of 48 tokens.

import { add } from "../../../src/ops/elementwise.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { hyperCoefficients } from "../../../src/ops/hyper-coefficients.ts";
import { manifoldCoefficients } from "../../../src/ops/manifold-coefficients.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { type SinkhornForm } from "../../../src/ops/sinkhorn-form.ts";
import { sinkhorn } from "../../../src/ops/sinkhorn.ts";
import { streamNarrow, streamWiden } from "../../../src/ops/stream-precision.ts";
import { streamRead } from "../../../src/ops/stream-read.ts";
import { streamWrite } from "../../../src/ops/stream-write.ts";
import { collapse, expand } from "../../../src/ops/expand.ts";
import type { OperationCase } from "../case.ts";

/** [tokens, streams, channels]. */
type Sizes = readonly [number, number, number];

const sizes: readonly Sizes[] = [
  [1, 1, 5],
  [3, 2, 12],
  [5, 3, 5],
  [50, 4, 12],
  [100, 4, 33],
  [7, 4, 72],
  [49, 4, 5],
  [50, 8, 12],
  [2, 8, 70],
];
const fewSizes: readonly Sizes[] = [
  [1, 1, 5],
  [3, 2, 12],
  [9, 3, 5],
  [50, 4, 12],
  [100, 4, 33],
  [11, 8, 12],
];

const normals =
  (scale: number) =>
  (random: () => number): number =>
    scale * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

function movement([T, n, C]: Sizes): OperationCase[] {
  const x = { shape: [T, n, C] },
    h = { shape: [T, n * n + 2 * n] },
    y = { shape: [T, C] };
  const name = `[${T}, ${n}, ${C}]`;
  return [
    { name: `expand ${name}`, inputs: { y }, build: ({ y }) => expand(y!, n) },
    {
      name: `collapse ${name} by mean and sum`,
      inputs: { x },
      build: ({ x }) => [collapse(x!, "mean"), collapse(x!, "sum")],
    },
    {
      name: `streamNarrow and streamWiden ${name}`,
      inputs: { x },
      rounds: true,
      build: ({ x }) => streamWiden(streamNarrow(x!)),
    },
    { name: `streamRead ${name}`, inputs: { x, h }, build: ({ x, h }) => streamRead(x!, h!) },
    { name: `streamWrite ${name}`, inputs: { x, h, y }, build: ({ x, h, y }) => streamWrite(x!, h!, y!) },
  ];
}

/** A sublayer without a block: all gradients of x meet, and absorb one another. */
function sublayer(
  name: string,
  inputs: OperationCase["inputs"],
  coefficients: (inputs: Record<string, Tensor>) => Tensor,
): OperationCase {
  return {
    name,
    inputs,
    build(tensors) {
      const h = coefficients(tensors);
      return streamWrite(tensors.x!, h, streamRead(tensors.x!, h));
    },
  };
}

function manifold([T, n, C]: Sizes, options: Parameters<typeof manifoldCoefficients>[4]): OperationCase[] {
  const M = n * n + 2 * n;
  const inputs: OperationCase["inputs"] = {
    x: { shape: [T, n, C] },
    phi: { shape: [M, n * C], values: normals(1 / Math.sqrt(n * C)) },
    alpha: { shape: [3], values: (_random, index) => [0.7, -0.4, 0.9][index]! },
    bias: { shape: [M] },
  };
  const name = `[${T}, ${n}, ${C}] ${JSON.stringify(options)}`;
  const coefficients = ({ x, phi, alpha, bias }: Record<string, Tensor>): Tensor =>
    manifoldCoefficients(x!, phi!, alpha!, bias!, options);
  return [
    { name: `manifoldCoefficients ${name}`, inputs, build: coefficients },
    sublayer(`manifold sublayer ${name}`, inputs, coefficients),
  ];
}

function hyper([T, n, C]: Sizes, options: Parameters<typeof hyperCoefficients>[4]): OperationCase[] {
  const M = n * n + 2 * n;
  const inputs: OperationCase["inputs"] = {
    x: { shape: [T, n, C] },
    theta: { shape: [n + 2, C], values: normals(1 / Math.sqrt(C)) },
    alpha: { shape: [3], values: (_random, index) => [0.7, -0.4, 0.9][index]! },
    bias: { shape: [M] },
  };
  const name = `[${T}, ${n}, ${C}] ${JSON.stringify(options)}`;
  const coefficients = ({ x, theta, alpha, bias }: Record<string, Tensor>): Tensor =>
    hyperCoefficients(x!, theta!, alpha!, bias!, options);
  return [
    { name: `hyperCoefficients ${name}`, inputs, build: coefficients },
    sublayer(`hyper sublayer ${name}`, inputs, coefficients),
  ];
}

/** A sublayer whose streams are kept as bfloat16: widened in two chains and for the gradient of phi. */
function narrowSublayer([T, n, C]: Sizes): OperationCase {
  const M = n * n + 2 * n;
  return {
    name: `narrow sublayer [${T}, ${n}, ${C}]`,
    inputs: {
      x: { shape: [T, n, C] },
      phi: { shape: [M, n * C], values: normals(1 / Math.sqrt(n * C)) },
      alpha: { shape: [3], values: () => 0.5 },
      bias: { shape: [M] },
      w: { shape: [C, C], values: normals(1 / Math.sqrt(C)) },
    },
    rounds: true,
    tolerance: {
      forward: 2 ** -8,
      gradient: 2 ** -7,
      why: "a sum that differs in its last bit may round the other way",
    },
    build({ x, phi, alpha, bias, w }) {
      const streams = streamWiden(streamNarrow(x!));
      const h = manifoldCoefficients(streams, phi!, alpha!, bias!);
      const y = matmul(streamRead(streams, h), w!);
      return streamWiden(streamNarrow(streamWrite(streams, h, y)));
    },
  };
}

function matrices(shape: readonly number[], iterations: number): OperationCase {
  return {
    name: `sinkhorn [${shape}], ${iterations} iterations`,
    inputs: { logits: { shape } },
    build: ({ logits }) => sinkhorn(logits!, { iterations }),
  };
}

/** Forms that others released, one that divides by epsilon, and an epsilon that shows. */
const forms: Readonly<Record<string, SinkhornForm>> = {
  released: { start: "softmax", last: "columns", epsilon: 1e-6, guard: "added", transposed: true },
  untransposed: { start: "softmax", last: "columns", epsilon: 1e-2, guard: "added", transposed: false },
  "rows first": { start: "exp", last: "columns", epsilon: 1e-6, guard: "floor", transposed: false },
  "columns first, transposed": { start: "exp", last: "rows", epsilon: 1e-3, guard: "added", transposed: true },
  "a high floor": { start: "exp", last: "rows", epsilon: 0.9, guard: "floor", transposed: false },
};

function formed(form: SinkhornForm, name: string): OperationCase[] {
  return [
    ...[
      [1, 1],
      [9, 2, 2],
      [5, 3, 3],
      [50, 4, 4],
      [3, 8, 8],
    ].map((shape) => ({
      name: `sinkhorn [${shape}], ${name}`,
      inputs: { logits: { shape } },
      build: ({ logits }: Record<string, Tensor>) => sinkhorn(logits!, { iterations: 5, form }),
    })),
    ...(name === "released" ? fewSizes : fewSizes.slice(2, 4)).flatMap((size) =>
      manifold(size, { iterations: 20, form: { readEpsilon: 1e-2, writeScale: 1.5, res: form } }),
    ),
  ];
}

export const streamCases: readonly OperationCase[] = [
  ...sizes.flatMap(movement),
  {
    name: "expand and collapse [2, 3, 5]",
    inputs: { x: { shape: [2, 3, 5] } },
    build: ({ x }) => collapse(add(expand(x!, 2), expand(x!, 2)), "mean"),
  },
  ...[
    [1, 1],
    [4, 4],
    [7, 2, 2],
    [3, 5, 3, 3],
    [100, 4, 4],
    [50, 8, 8],
  ].map((shape) => matrices(shape, 20)),
  matrices([5, 4, 4], 0),
  matrices([5, 4, 4], 1),
  matrices([9, 3, 3], 7),
  ...fewSizes.flatMap((size) => manifold(size, { iterations: 20 })),
  ...fewSizes.map(narrowSublayer),
  ...manifold([5, 4, 12], { iterations: 0 }),
  ...manifold([2, 3, 5], { iterations: 3, epsilon: 0.5 }),
  ...Object.entries(forms).flatMap(([name, form]) => formed(form, name)),
  ...[0, 1].map((iterations) => ({
    name: `sinkhorn [5, 4, 4] of the released form, ${iterations} iterations`,
    inputs: { logits: { shape: [5, 4, 4] } },
    build: ({ logits }: Record<string, Tensor>) => sinkhorn(logits!, { iterations, form: forms.released! }),
  })),
  ...fewSizes.flatMap((size) => hyper(size, {})),
  ...hyper([5, 4, 12], { tanh: false, epsilon: 0.5 }),
];
