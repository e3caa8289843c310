// Kernels in CUDA C++ by hand, on the machine that plays a GPU: the seam by which an operation gets one, and what such
// kernels use: fragments of tensor cores, shuffles, shared memory, bfloat16.

import { describe, expect, test } from "vitest";
import { input } from "../../../src/graph/state.ts";
import type { Operation, Tensor } from "../../../src/graph/tensor.ts";
import { matmul, matmulOperation } from "../../../src/ops/matmul.ts";
import { sumLast, sumLastOperation } from "../../../src/ops/reductions.ts";
import { cudaCall, cudaOperand, cudaTemporary } from "../../../src/runtime/cuda/implement.ts";
import { startCudaRuntime } from "../../../src/runtime/cuda/runtime.ts";
import { calls, type Implementation } from "../../../src/runtime/gpu/implement.ts";
import type { TensorValues } from "../../../src/runtime/program.ts";
import { fakeMachine } from "./machine/build.ts";

const machine = await fakeMachine();

const run = async (
  { op, lowering }: Implementation,
  y: Tensor,
  given: readonly (readonly [Tensor, ArrayLike<number>])[],
): Promise<TensorValues> => {
  const runtime = await startCudaRuntime({}, new Map([[op, lowering]]));
  try {
    const program = runtime.compile({ outputs: { y } });
    for (const [tensor, values] of given) runtime.write(tensor, values);
    program.run();
    return await program.read("y");
  } finally {
    runtime.close();
  }
};
const rounded = Array.from({ length: 512 }, (_, at) => ((at * 37) % 29) / 8 - 1.5);
const correct = (a: readonly number[], b: readonly number[], rows: number, inner: number, columns: number): number[] =>
  Array.from({ length: rows * columns }, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    return Array.from({ length: inner }, (__, k) => a[i * inner + k]! * b[k * columns + j]!).reduce((s, v) => s + v);
  });

describe.skipIf(!machine)("a kernel by hand", () => {
  test.each([
    [
      "tf32",
      8,
      `u32 words[4] = { __float_as_uint(a[g * 8 + t]), __float_as_uint(a[(g + 8) * 8 + t]), __float_as_uint(a[g * 8 + t + 4]), __float_as_uint(a[(g + 8) * 8 + t + 4]) };
mmaTf32(sums, words[0], words[1], words[2], words[3], __float_as_uint(b[t * 8 + g]), __float_as_uint(b[(t + 4) * 8 + g]));`,
    ],
    [
      "bfloat16",
      16,
      `auto pair = [&](const float* p, u32 step) { return packBf16(p[0], p[step]); };
mmaBf16(sums, pair(a + g * 16 + 2 * t, 1), pair(a + (g + 8) * 16 + 2 * t, 1), pair(a + g * 16 + 2 * t + 8, 1), pair(a + (g + 8) * 16 + 2 * t + 8, 1), pair(b + 2 * t * 8 + g, 8), pair(b + (2 * t + 8) * 8 + g, 8));`,
    ],
    [
      "bfloat16 by ldmatrix",
      16,
      `for (u32 at = lane; at < 256; at += 32) tileA[at] = toBf16(a[at]);
for (u32 at = lane; at < 128; at += 32) tileB[at] = toBf16(b[at]);
__syncthreads();
u32 wordsA[4], wordsB[2];
ldmatrix4(wordsA, tileA + (lane % 16) * 16 + 8 * (lane / 16));
ldmatrix2Transposed(wordsB, tileB + (lane % 16) * 8);
mmaBf16(sums, wordsA[0], wordsA[1], wordsA[2], wordsA[3], wordsB[0], wordsB[1]);`,
    ],
  ])("multiplies on tensor cores: %s", async (_name, inner, body) => {
    const product = calls(matmulOperation, ({ a, b, c }, _attributes, context) =>
      context.emit(
        cudaCall({
          name: "tensorCores",
          reads: { a: cudaOperand(context, a), b: cudaOperand(context, b) },
          writes: { c: cudaOperand(context, c) },
          declarations: ["__shared__ bf16 tileA[256];", "__shared__ bf16 tileB[128];"],
          width: 32,
          groups: 1,
          body: `const u32 g = lane / 4, t = lane % 4;
float sums[4] = {};
${body}
for (u32 r = 0; r < 4; r++) c[(g + 8 * (r / 2)) * 8 + 2 * t + r % 2] = sums[r];`,
        }),
      ),
    );
    const [a, b] = [input("a", [16, inner]), input("b", [inner, 8])];
    const [left, right] = [rounded.slice(0, 16 * inner), rounded.slice(100, 100 + inner * 8)];
    const found = await run(product, matmul(a, b), [
      [a, left],
      [b, right],
    ]);
    expect([...found]).toEqual(correct(left, right, 16, inner, 8));
  });

  test("sums by shuffles, by shared memory of a size named at the launch, and by a buffer between two kernels", async () => {
    const sum = calls(
      sumLastOperation as Operation<readonly ["x"], readonly ["y"]>,
      ({ x, y }, _attributes, context) => {
        const sums = cudaTemporary(context, "sums", 16, "f32");
        context.emit(
          cudaCall({
            name: "shuffledSum",
            reads: { x: cudaOperand(context, x) },
            writes: { sums },
            width: 128,
            groups: 4,
            groupsAtOnce: 2,
            sharedBytes: 60_000,
            body: `float* parts = (float*)shared;
float value = x[group * 128 + lane];
for (int by = 16; by > 0; by /= 2) value += __shfl_xor_sync(0xffffffffu, value, by);
if (lane % 32 == 0) parts[10000 + lane / 32] = value;
__syncthreads();
if (lane == 0) sums[group] = parts[10000] + parts[10001] + parts[10002] + parts[10003];`,
          }),
        );
        context.emit(
          cudaCall({
            name: "fetchSums",
            reads: { sums },
            writes: { y: cudaOperand(context, y) },
            width: 32,
            groups: 1,
            body: "if (lane < 4) y[lane] = sums[lane];",
          }),
        );
      },
    );
    const x = input("x", [4, 128]);
    const found = await run(sum, sumLast(x), [[x, rounded]]);
    expect([...found]).toEqual(
      [0, 1, 2, 3].map((row) => rounded.slice(row * 128, row * 128 + 128).reduce((s, v) => s + v)),
    );
  });
});
