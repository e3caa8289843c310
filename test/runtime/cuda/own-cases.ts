// Shapes that reach every branch of CUDA's own kernels: several groups, the last one not full, several slices of a row,
// heads that are shared, wide, or no multiple of 16 bytes.

import type { Tensor } from "../../../src/graph/tensor.ts";
import { attention } from "../../../src/ops/attention.ts";
import { batchedMatmul } from "../../../src/ops/batched-matmul.ts";
import { toBfloat16, toFloat32 } from "../../../src/ops/bfloat16.ts";
import { dispatch } from "../../../src/ops/dispatch.ts";
import { crossEntropyWithLogSumExp } from "../../../src/ops/cross-entropy.ts";
import { add, multiply } from "../../../src/ops/elementwise.ts";
import { expertMatmul } from "../../../src/ops/expert-matmul.ts";
import { roundToFloat8 } from "../../../src/ops/float8.ts";
import { manifoldCoefficients } from "../../../src/ops/manifold-coefficients.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { rmsNorm } from "../../../src/ops/rms-norm.ts";
import { rotary } from "../../../src/ops/rotary.ts";
import { streamRead } from "../../../src/ops/stream-read.ts";
import { streamWrite } from "../../../src/ops/stream-write.ts";
import { swiglu } from "../../../src/ops/swiglu.ts";
import type { OperationCase } from "../../ops/case.ts";
import { expertProductCase } from "../../ops/cases/expert-matmul.ts";
import { type Mixture, mixtureInputs } from "../../ops/cases/mixtures.ts";

function attentionCase(T: number, heads: number, kvHeads: number, headSize: number, valueSize: number): OperationCase {
  return {
    name: `attention T ${T}, ${heads} heads of ${headSize} over ${kvHeads}, values of ${valueSize}`,
    inputs: { qkv: { shape: [1, T, (heads + kvHeads) * headSize + kvHeads * valueSize] } },
    build: ({ qkv }) => attention(qkv!, { heads, kvHeads, headSize, valueSize }),
  };
}

/** A sublayer without a block, twice: gradients of streams meet, and streams are read that were written. */
function sublayersCase(T: number, n: number, C: number): OperationCase {
  const M = n * (n + 2);
  return {
    name: `two sublayers of streams [${T}, ${n}, ${C}]`,
    inputs: {
      x: { shape: [T, n, C] },
      phi: { shape: [M, n * C], values: (random) => 0.1 * (random() - 0.5) },
      alpha: { shape: [3] },
      bias: { shape: [M] },
    },
    build({ x, phi, alpha, bias }) {
      let streams = x!;
      for (let layer = 0; layer < 2; layer++) {
        const h = manifoldCoefficients(streams, phi!, alpha!, bias!, { iterations: 3 });
        streams = streamWrite(streams, h, streamRead(streams, h));
      }
      return streams;
    },
    tolerance: { forward: 1e-5, gradient: 2e-4, why: "sums over more than a thousand values, twice" },
  };
}

/** Rows of 1, 2 and 8 warps, and so many of them that a group goes through several. */
const rmsNormCases = [
  [9, 40],
  [5, 1048],
  [3, 4104],
  [37, 8],
].map(([rows = 1, C = 1]): OperationCase => ({
  name: `rmsNorm [${rows}, ${C}] in vectors`,
  inputs: { x: { shape: [rows, C] }, w: { shape: [C] } },
  // Twice, so that gradients meet.
  build: ({ x, w }) => add(rmsNorm(x!, w!), rmsNorm(x!, w!, 1e-3)),
  tolerance: { forward: 1e-5, gradient: 2e-4, why: "sums over eight thousand rows" },
}));

function rotaryCase(headSize: number, turned: number): OperationCase {
  return {
    name: `rotary of heads of ${headSize}, ${turned} columns turned, in vectors`,
    inputs: { x: { shape: [2, 5, 3 * headSize] }, table: { shape: [5, turned] } },
    constant: ["table"],
    build: ({ x, table }) => rotary(x!, table!, { heads: 2, headSize }),
  };
}

const lossCase: OperationCase = {
  name: "crossEntropy of rows that begin anywhere",
  inputs: {
    // Whole stretches of -infinity.
    logits: { shape: [7, 1031], values: (random, at) => (at % 1031 < 40 || random() < 0.1 ? -Infinity : 8 * random()) },
    targets: { shape: [7], dtype: "i32", values: (random) => 40 + Math.floor(900 * random()) },
  },
  constant: ["logits"],
  build: ({ logits, targets }) => crossEntropyWithLogSumExp(logits!, targets!).logSumExp,
};
const lossGradientCase: OperationCase = {
  name: "crossEntropy and its gradient in vectors",
  inputs: {
    logits: { shape: [5, 1031] },
    targets: { shape: [5], dtype: "i32", values: (random) => Math.floor(1031 * random()) },
  },
  build({ logits, targets }) {
    const { loss, logSumExp } = crossEntropyWithLogSumExp(logits!, targets!);
    return add(loss, multiply(logSumExp, logSumExp));
  },
};

/** Tiles of 128, 64 and 32 rows, and of 128 and 64 columns; experts without rows, and more than a warp looks at together. */
const [tall, middle, flat]: readonly Mixture[] = [
  { tokens: 144, experts: 3, active: 2, channels: 40, hidden: 72, among: (draw) => (draw < 0.7 ? 0 : 2) },
  { tokens: 100, experts: 2, active: 1, channels: 48, hidden: 24 },
  { tokens: 20, experts: 34, active: 3, channels: 16, hidden: 72, among: (draw) => 3 + Math.floor(31 * draw) },
] as const;

export const ownCases: readonly OperationCase[] = [
  attentionCase(130, 2, 1, 64, 64),
  attentionCase(67, 1, 1, 128, 128),
  attentionCase(70, 1, 1, 192, 128),
  attentionCase(33, 2, 1, 100, 36),
  sublayersCase(37, 4, 520),
  sublayersCase(70, 4, 24),
  sublayersCase(67, 4, 160),
  sublayersCase(18, 2, 64),
  sublayersCase(5, 2, 1040),
  sublayersCase(9, 3, 64),
  expertProductCase(tall, false),
  expertProductCase(tall, true),
  expertProductCase(middle, false),
  expertProductCase(flat, true),
  ...rmsNormCases,
  {
    name: "swiglu [7, 48] in vectors",
    inputs: { x: { shape: [7, 48], values: (random) => 60 * (random() - 0.5) } },
    build: ({ x }) => swiglu(x!),
  },
  rotaryCase(16, 16),
  rotaryCase(40, 32),
  lossCase,
  lossGradientCase,
];

/** Shapes that a GPU with less shared memory does in smaller tiles, or as every GPU does. */
export const wideCases: readonly OperationCase[] = [attentionCase(70, 1, 1, 192, 128), sublayersCase(5, 8, 16)];

const eight = (x: Tensor, rows: number, columns: number): Tensor =>
  toFloat32(toBfloat16(roundToFloat8(x, { rows, columns })));

/** A product of factors of 8 bits: a weight in blocks of 128 x 128, all others in blocks along the sum. */
function float8Case(
  a: readonly number[],
  b: readonly number[],
  transposeA: boolean,
  transposeB: boolean,
  weight: boolean,
): OperationCase {
  return {
    name: `8 bits: [${a.join()}]${transposeA ? "ᵀ" : ""} [${b.join()}]${transposeB ? "ᵀ" : ""}${weight ? ", a weight" : ""}`,
    // Some rows are much smaller, one block is zero.
    inputs: {
      a: { shape: a, values: (random, at) => (random() - 0.5) * 2 ** -(at % 31) },
      b: { shape: b, values: (random, at) => (at < 4000 ? 0 : random() - 0.5) },
      sum: { shape: [...a.slice(0, -2), a.at(transposeA ? -1 : -2)!, b.at(transposeB ? -2 : -1)!] },
    },
    constant: ["a", "b"],
    build({ a: left, b: right, sum }) {
      const [first, second] = [
        transposeA ? eight(left!, 128, 1) : eight(left!, 1, 128),
        weight ? eight(right!, 128, 128) : transposeB ? eight(right!, 1, 128) : eight(right!, 128, 1),
      ];
      const options = { transposeA, transposeB };
      return add(sum!, a.length > 2 ? batchedMatmul(first, second, options) : matmul(first, second, options));
    },
  };
}

function float8Experts(
  { tokens, experts, active, channels, hidden, among }: Mixture,
  transposed: boolean,
): OperationCase {
  return {
    name: `8 bits: experts ${transposed ? "transposed, " : ""}${tokens * active} rows`,
    inputs: {
      ...mixtureInputs({ tokens, experts, active, channels, hidden, ...(among && { among }) }),
      x: { shape: [tokens * active, channels] },
      w: { shape: transposed ? [experts, hidden, channels] : [experts, channels, hidden] },
    },
    constant: ["x", "w"],
    build: ({ chosen, x, w }) =>
      expertMatmul(eight(x!, 1, 128), eight(w!, 128, 128), dispatch(chosen!, experts).offsets, { transposed }),
  };
}

/** Products whose factors are e4m3 on a GPU that multiplies such. */
export const float8Cases: readonly OperationCase[] = [
  float8Case([140, 200], [200, 134], false, false, true),
  float8Case([50, 72], [132, 72], false, true, true),
  float8Case([260, 70], [260, 66], true, false, false),
  float8Case([2, 9, 130], [2, 130, 8], false, false, true),
  float8Experts(tall, false),
  float8Experts(flat, true),
];

/** A sum over all rows of two matrices, each with blocks of its own, so that no step of 128 rows has one scale. */
export const float8Apart: OperationCase = {
  name: "8 bits: [2,50,40]ᵀ [2,50,24], a sum over both matrices",
  inputs: {
    a: { shape: [2, 50, 40], values: (random, at) => (random() - 0.5) * (at < 2000 ? 2 ** -16 : 1) },
    b: { shape: [2, 50, 24], values: (random, at) => (random() - 0.5) * (at < 1200 ? 2 ** 16 : 1) },
  },
  constant: ["a", "b"],
  build: ({ a, b }) => matmul(eight(a!, 128, 1), eight(b!, 128, 1), { transposeA: true }),
};
