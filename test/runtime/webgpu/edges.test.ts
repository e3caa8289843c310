// At the ends of float32 on WebGPU: what is not a number stays so, and rows whose squares overflow are normalised.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { input } from "../../../src/graph/state.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { attention } from "../../../src/ops/attention.ts";
import { cachedAttention } from "../../../src/ops/cached-attention.ts";
import { exp, gelu, log, relu, sigmoid, silu, sqrt, square, tanh } from "../../../src/ops/elementwise.ts";
import { chooseExperts } from "../../../src/ops/expert-choice.ts";
import { gradients, gradientsFrom } from "../../../src/ops/gradients.ts";
import { maxLast } from "../../../src/ops/max-last.ts";
import { sum, sumLast } from "../../../src/ops/reductions.ts";
import { streamProjection } from "../../../src/ops/stream-projection.ts";
import { rmsNorm } from "../../../src/ops/rms-norm.ts";
import { sinkhorn } from "../../../src/ops/sinkhorn.ts";
import { softmax } from "../../../src/ops/softmax.ts";
import type { TensorValues } from "../../../src/runtime/program.ts";
import { createReferenceRuntime } from "../../../src/runtime/reference/runtime.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import type { WebgpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { relativeError } from "../../ops/harness.ts";
import { hasWebgpu } from "./here.ts";

const curves = { exp, log, tanh, sigmoid, silu, gelu, relu, square, sqrt };
const rows = { softmax, sumLast, maxLast, sinkhorn: (x: Tensor) => sinkhorn(x, { iterations: 20 }) };

describe.skipIf(!(await hasWebgpu()))("on WebGPU", { timeout: 120_000 }, () => {
  let runtime: WebgpuRuntime;
  beforeAll(async () => void (runtime = await createWebgpuRuntime()));
  afterAll(() => runtime.close());

  const valuesOf = async (
    y: Tensor,
    given: readonly (readonly [Tensor, ArrayLike<number>])[],
  ): Promise<TensorValues> => {
    const program = runtime.compile({ outputs: { y } });
    for (const [tensor, values] of given) runtime.write(tensor, values);
    program.run();
    const values = await program.read("y");
    program.release();
    return values;
  };

  test.each([0x7fffffff, 0xffffffff, 0x7fc00001, 0x7f800001])("a NaN of the bits %i stays a NaN", async (bits) => {
    const nan = new Float32Array(new Uint32Array(9).fill(bits).buffer);
    const [x, m] = [input("x", [9]), input("m", [3, 3])];
    for (const [name, curve] of Object.entries(curves))
      expect([...(await valuesOf(curve(x), [[x, nan]]))].every(Number.isNaN), name).toBe(true);
    for (const [name, row] of Object.entries(rows))
      expect([...(await valuesOf(row(m), [[m, nan]]))].every(Number.isNaN), name).toBe(true);
  });

  test("a query that is not a number has a result that is none", async () => {
    const qkv = input("qkv", [1, 2, 6]);
    const out = await valuesOf(attention(qkv, { heads: 1, headSize: 2 }), [
      [qkv, [1, 1, 1, 1, 5, 6, Number.NaN, 1, 1, 1, 7, 8]],
    ]);
    expect([...out]).toEqual([5, 6, Number.NaN, Number.NaN]);
  });

  test("attention and its gradient are the reference's where something is not finite", async () => {
    const [qkv, g] = [input("qkv", [1, 3, 6]), input("g", [1, 3, 2])];
    const out = attention(qkv, { heads: 1, headSize: 2 });
    const spec = { outputs: { out, dqkv: gradientsFrom([[out, g]], [qkv])[0]! } };
    const reference = createReferenceRuntime();
    const machines = [reference, runtime].map((machine) => ({ machine, program: machine.compile(spec) }));
    const plain = [1, 2, 0.5, 1, 0.3, 0.2, 0.5, -1, 1, 0.5, 0.7, 0.1, -0.3, 0.4, 0.2, 0.9, 1, 2];
    for (const [at, value] of plain.flatMap((_, place) => [-Infinity, Infinity, NaN].map((x) => [place, x] as const))) {
      const found = [];
      for (const { machine, program } of machines) {
        machine.write(qkv, plain.with(at, value));
        machine.write(g, [0.5, -1, 1, 2, -0.7, 0.3]);
        program.run();
        found.push([...(await program.read("out")), ...(await program.read("dqkv"))]);
      }
      const [expected, ours] = found;
      for (const [place, number] of expected!.entries())
        if (Number.isFinite(number)) expect(ours![place], `${value} at ${at}: ${place}`).toBeCloseTo(number, 5);
        else expect(ours![place], `${value} at ${at}: ${place}`).toBe(number);
    }
  });

  test("a cached key whose score is -Infinity has no share, also where all that come before have none", async () => {
    const T = 70;
    const [qkv, keys, values] = [input("qkv", [1, 6]), input("keys", [1, 1, 2, T]), input("values", [1, 1, T, 2])];
    const [positions, slots] = [input("positions", [1], "i32"), input("slots", [1], "i32")];
    const blocks = input("blocks", [1, 1], "i32");
    const { out } = cachedAttention(
      qkv,
      { keys, values, blocks },
      { positions, slots },
      { heads: 1, kvHeads: 1, headSize: 2, valueSize: 2 },
    );
    const found = await valuesOf(out, [
      [qkv, [1, 0, 1, 0, 5, 7]],
      [keys, Array.from({ length: 2 * T }, (_, at) => (at < 66 ? -Infinity : 0))],
      [values, Array.from({ length: 2 * T }, () => 3)],
      [positions, [66]],
      [blocks, [0]],
      [slots, [0]],
    ]);
    expect([...found]).toEqual([5, 7]);
  });

  test("the logarithm and the root of what is below 0 are none", async () => {
    const x = input("x", [2]);
    for (const curve of [log, sqrt])
      expect([...(await valuesOf(curve(x), [[x, [-3, -1e-30]]]))]).toEqual([Number.NaN, Number.NaN]);
  });

  test("tanh keeps its digits near 0, and has its limits", async () => {
    const numbers = [1e-30, -1e-6, 1e-3, 0.0999, -0.1, 0.1001, 3, -30, 1e38].map(Math.fround);
    const x = input("x", [numbers.length]);
    const found = await valuesOf(tanh(x), [[x, numbers]]);
    for (const [at, number] of numbers.entries())
      expect(Math.abs(found[at]! / Math.tanh(number) - 1), String(number)).toBeLessThan(1e-6);
  });

  test.each([3, 80])("a row of %i zeros or of huge numbers is normalised", async (C) => {
    const [x, w] = [input("x", [2, C]), input("w", [C])];
    const ones = Array<number>(C).fill(1);
    for (const size of [1e15, 1e20, 1e30, 1e37]) {
      const values = Array.from({ length: 2 * C }, (_, at) => (at < C ? 0 : at % 2 === 0 ? size : -size));
      const expected = values.map(Math.sign);
      for (const epsilon of [1e-20, 1.5e-45])
        expect(
          relativeError(
            await valuesOf(rmsNorm(x, w, epsilon), [
              [x, values],
              [w, ones],
            ]),
            Float64Array.from(expected),
          ),
          `${size}, ${epsilon}`,
        ).toBeLessThan(1e-5);
    }
  });

  test("the gradient of the projection of huge streams has not vanished", async () => {
    const [x, w] = [input("x", [2, 2, 5]), input("w", [3, 10])];
    const y = square(streamProjection(x, w, { over: "token", epsilon: 1e-20 }));
    const [dx] = gradients(sum(y), [x]);
    const weights = Array.from({ length: 30 }, (_, at) => (((at * 5) % 11) - 4.5) / 8);
    const values = Array.from({ length: 20 }, (_, at) => ((at * 7) % 5) - 1.5);
    const slopes = async (size: number): Promise<TensorValues> =>
      await valuesOf(dx!, [
        [x, values.map((value) => value * size)],
        [w, weights],
      ]);
    // The projection of a row does not know its length, so its gradient is as much smaller.
    const [plain, huge] = [await slopes(1), await slopes(2 ** 80)];
    expect(
      relativeError(
        huge.map((value) => value * 2 ** 80),
        Float64Array.from(plain),
      ),
    ).toBeLessThan(1e-4);
  });

  test("experts whose bias is -Infinity come last, the earlier first", async () => {
    const [scores, bias] = [input("scores", [1, 4]), input("bias", [4])];
    const { experts } = chooseExperts(scores, bias, { active: 4 });
    const given = [
      [scores, [0.1, 0.2, 0.3, 0.4]],
      [bias, [-Infinity, 0, -Infinity, 0]],
    ] as const;
    expect([...(await valuesOf(experts, given))]).toEqual([3, 1, 0, 2]);
  });
});
