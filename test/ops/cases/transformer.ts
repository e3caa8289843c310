// The transformer's operations at odd sizes: one row, no multiple of a vector, several tiles of 48 rows.

import { add } from "../../../src/ops/elementwise.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { attention } from "../../../src/ops/attention.ts";
import { latentHeads } from "../../../src/ops/latent-heads.ts";
import { cachedAttention } from "../../../src/ops/cached-attention.ts";
import { gather } from "../../../src/ops/gather.ts";
import { batchedMatmul } from "../../../src/ops/batched-matmul.ts";
import { matmul, type MatmulAttributes } from "../../../src/ops/matmul.ts";
import { rmsNorm } from "../../../src/ops/rms-norm.ts";
import { rotary } from "../../../src/ops/rotary.ts";
import { rotaryTable } from "../../../src/ops/rotary-table.ts";
import { swiglu } from "../../../src/ops/swiglu.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];
type Build = (inputs: Record<string, Tensor>) => Tensor | readonly Tensor[];

const rmsNormShapes: Shape[] = [[1, 5], [3, 8], [49, 33], [2, 50, 20], [7]];

/** What a residual branch looks like: the sum absorbs into the backward kernel. */
const residualNorm: OperationCase = {
  name: "rmsNorm [51, 13] with a residual",
  inputs: { x: { shape: [51, 13] }, w: { shape: [13] } },
  build: ({ x, w }) => add(x!, rmsNorm(x!, w!, 1e-20)),
};

function matmulCase(a: Shape, b: Shape, flags: Partial<MatmulAttributes> = {}): OperationCase {
  return {
    name: `matmul [${a}] · [${b}]${showFlags(flags)}`,
    inputs: { a: { shape: a }, b: { shape: b } },
    build: ({ a, b }) => matmul(a!, b!, flags),
  };
}

/** c + product, and the product's operands used twice, so that every gradient is a sum as well. */
function accumulatingCase(a: Shape, b: Shape, c: Shape, flags: Partial<MatmulAttributes>): OperationCase {
  const build: Build = ({ a, b, c }) => add(add(c!, matmul(a!, b!, flags)), matmul(a!, b!, flags));
  return {
    name: `[${c}] + 2 · matmul [${a}] · [${b}]${showFlags(flags)}`,
    inputs: { a: { shape: a }, b: { shape: b }, c: { shape: c } },
    build,
  };
}

function batchedCase(a: Shape, b: Shape, flags: Partial<MatmulAttributes> = {}): OperationCase {
  return {
    name: `batchedMatmul [${a}] · [${b}]${showFlags(flags)}`,
    inputs: { a: { shape: a }, b: { shape: b } },
    build: ({ a, b }) => batchedMatmul(a!, b!, flags),
  };
}

function showFlags({ transposeA, transposeB }: Partial<MatmulAttributes>): string {
  return `${transposeA ? " transposeA" : ""}${transposeB ? " transposeB" : ""}`;
}

function rotaryCase(shape: Shape, heads: number, headSize: number, dimension: number, theta?: number): OperationCase {
  return {
    name: `rotary [${shape}], ${heads} heads of ${headSize}, ${dimension} turning`,
    inputs: { x: { shape } },
    build: ({ x }) =>
      rotary(x!, rotaryTable({ length: shape.at(-2)!, dimension, ...(theta && { theta }) }), { heads, headSize }),
  };
}

function attentionCase(
  batch: number,
  length: number,
  heads: number,
  kvHeads: number,
  headSize: number,
  valueSize: number = headSize,
): OperationCase {
  const values = valueSize === headSize ? "" : `, values of ${valueSize}`;
  return {
    name: `attention B ${batch}, T ${length}, ${heads} heads of ${headSize} over ${kvHeads}${values}`,
    inputs: { qkv: { shape: [batch, length, (heads + kvHeads) * headSize + kvHeads * valueSize] } },
    build: ({ qkv }) => attention(qkv!, { heads, kvHeads, headSize, valueSize }),
  };
}

function latentCase(
  rows: Shape,
  heads: number,
  rotarySize: number,
  contentSize: number,
  valueSize: number,
): OperationCase {
  return {
    name: `latentHeads [${rows}], ${heads} heads of ${rotarySize} + ${contentSize}, values of ${valueSize}`,
    inputs: {
      q: { shape: [...rows, heads * (rotarySize + contentSize)] },
      kv: { shape: [...rows, heads * (contentSize + valueSize)] },
      r: { shape: [...rows, rotarySize] },
    },
    build: ({ q, kv, r }) => latentHeads(q!, kv!, r!, { heads, rotarySize, contentSize, valueSize }),
  };
}

/** Rows of three slots in any order, two of one slot, one of padding; caches full of numbers. */
function cachedAttentionCase(
  length: number,
  heads: number,
  kvHeads: number,
  headSize: number,
  valueSize: number = headSize,
): OperationCase {
  const [rows, slots] = [5, 3];
  const positions = [0, length - 1, length >> 1, 0, (length >> 1) + (length > 1 ? 1 : 0)];
  const slotOf = [2, 1, 0, -1, 0];
  return {
    name: `cachedAttention over ${length}, ${heads} heads of ${headSize} and ${valueSize} over ${kvHeads}`,
    inputs: {
      qkv: { shape: [rows, (heads + kvHeads) * headSize + kvHeads * valueSize] },
      keys: { shape: [slots, kvHeads, headSize, length] },
      values: { shape: [slots, kvHeads, length, valueSize] },
      positions: { shape: [rows], dtype: "i32", values: (_, i) => positions[i]! },
      slots: { shape: [rows], dtype: "i32", values: (_, i) => slotOf[i]! },
    },
    constant: ["qkv", "keys", "values"],
    build: ({ qkv, keys, values, positions, slots }) => {
      const cache = { keys: keys!, values: values! };
      const rows = { positions: positions!, slots: slots! };
      const { out, ...next } = cachedAttention(qkv!, cache, rows, { heads, kvHeads, headSize, valueSize });
      return [out, next.keys, next.values];
    },
  };
}

/** Each row at a position of its own. */
const rowRotaryCase: OperationCase = {
  name: "rotary [3, 1, 24] with a row of angles for each row",
  inputs: { x: { shape: [3, 1, 24] }, positions: { shape: [3], dtype: "i32", values: (_, i) => [4, 0, 6][i]! } },
  build: ({ x, positions }) =>
    rotary(x!, gather(rotaryTable({ length: 7, dimension: 8 }), positions!), { heads: 2, headSize: 8 }),
};

const logSumExpCase: OperationCase = {
  name: "attention with its log-sum-exp",
  inputs: { qkv: { shape: [2, 21, 32] } },
  constant: ["qkv"],
  build: ({ qkv }) => attention(qkv!, { heads: 2, kvHeads: 1, headSize: 8, scale: 1.5 }).node.outputs,
};

export const transformerCases: OperationCase[] = [
  ...rmsNormShapes.map((shape): OperationCase => ({
    name: `rmsNorm [${shape}]`,
    inputs: { x: { shape }, w: { shape: [shape.at(-1)!] } },
    build: ({ x, w }) => rmsNorm(x!, w!),
  })),
  residualNorm,
  matmulCase([1, 1], [1, 1]),
  matmulCase([1, 7], [7, 5]),
  matmulCase([2, 3, 9], [9, 77]),
  matmulCase([16, 20], [20, 40]),
  accumulatingCase([3, 7], [7, 19], [3, 19], {}),
  matmulCase([50, 19], [19, 33]),
  matmulCase([2, 49, 8], [8, 16]),
  matmulCase([97, 24], [24, 130]),
  matmulCase([50, 19], [33, 19], { transposeB: true }),
  matmulCase([2, 3, 19], [17, 19], { transposeB: true }),
  matmulCase([53, 9], [53, 21], { transposeA: true }),
  matmulCase([2, 5, 100], [2, 5, 131], { transposeA: true }),
  matmulCase([19, 50], [33, 19], { transposeA: true, transposeB: true }),
  accumulatingCase([50, 7], [7, 9], [50, 9], {}),
  accumulatingCase([50, 7], [9, 7], [50, 9], { transposeB: true }),
  accumulatingCase([7, 50], [7, 9], [50, 9], { transposeA: true }),
  accumulatingCase([7, 50], [9, 7], [50, 9], { transposeA: true, transposeB: true }),
  batchedCase([3, 5, 7], [3, 7, 9]),
  batchedCase([2, 2, 49, 4], [2, 2, 17, 4], { transposeB: true }),
  batchedCase([2, 9, 101], [2, 9, 6], { transposeA: true }),
  batchedCase([20, 4, 4], [20, 4, 4], { transposeA: true, transposeB: true }),
  rotaryCase([1, 1, 6], 1, 4, 4),
  rotaryCase([2, 51, 30], 3, 10, 10),
  rotaryCase([2, 7, 96], 4, 16, 16, 500000),
  rotaryCase([130, 56], 2, 24, 18, 100),
  attentionCase(1, 1, 1, 1, 4),
  attentionCase(2, 13, 2, 2, 8),
  attentionCase(1, 67, 4, 2, 10),
  attentionCase(3, 50, 3, 1, 17),
  attentionCase(1, 1, 1, 1, 3, 5),
  attentionCase(2, 53, 2, 2, 24, 16),
  attentionCase(1, 67, 4, 2, 6, 19),
  attentionCase(1, 331, 1, 1, 48, 32),
  logSumExpCase,
  latentCase([1], 1, 2, 1, 1),
  latentCase([2, 51], 3, 4, 5, 7),
  latentCase([50], 2, 16, 32, 24),
  rowRotaryCase,
  cachedAttentionCase(1, 1, 1, 4),
  cachedAttentionCase(13, 4, 2, 10),
  cachedAttentionCase(40, 3, 3, 33),
  cachedAttentionCase(259, 4, 1, 64),
  cachedAttentionCase(21, 4, 2, 6, 9),
  cachedAttentionCase(30, 3, 1, 50, 40),
  ...([[1, 2], [3, 14], [2, 49, 40], [50, 2], [6]] satisfies Shape[]).map((shape): OperationCase => ({
    name: `swiglu [${shape}]`,
    inputs: { x: { shape, values: (random) => 8 * random() - 4 } },
    build: ({ x }) => swiglu(x!),
  })),
  {
    name: "swiglu of large numbers",
    inputs: { x: { shape: [2, 2060], values: (random, i) => (i % 3 === 0 ? 200 : 20) * (random() - 0.5) } },
    build: ({ x }) => swiglu(x!),
  },
];
