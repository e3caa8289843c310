// Chains of elementwise work become one kernel; texts of numbers are exact; shaders name each place once.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parameter } from "../../../src/graph/state.ts";
import { add, exp, multiply, scale, shift } from "../../../src/ops/elementwise.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { broadcast, sumLast } from "../../../src/ops/reductions.ts";
import { functionsFor } from "../../../src/runtime/gpu/functions.ts";
import { type Dispatch, dispatchesOf } from "../../../src/runtime/gpu/fuse.ts";
import { gpuMachine } from "../../../src/runtime/gpu/machine.ts";
import { float } from "../../../src/runtime/gpu/work.ts";
import { compilePlan, withoutMemory } from "../../../src/runtime/plan/compile.ts";
import type { ProgramSpec } from "../../../src/runtime/program.ts";
import { gridOf, shaderText } from "../../../src/runtime/webgpu/shader.ts";

const machine = gpuMachine({ name: "webgpu", largestMemory: 2 ** 40, alignment: 256, largestBuffer: 2 ** 30 });
const dispatches = (spec: ProgramSpec, mostOperands = 8): Dispatch[] =>
  dispatchesOf(compilePlan(spec, machine, withoutMemory()), mostOperands);

const x = parameter("x", [5, 7]);
const w = parameter("w", [7]);

describe("fusion", () => {
  test("a chain with a repeated row is one kernel, which stores its end alone", () => {
    const y = exp(scale(add(x, broadcast(w, x.shape)), 2));
    const [only, ...others] = dispatches({ outputs: { y } });
    expect(others).toEqual([]);
    expect(only!.calls.map(({ kernel }) => kernel)).toEqual(["broadcast", "add", "affine", "exp"]);
    expect(only!.buffers).toHaveLength(3);
    expect(only!.written.size).toBe(1);
    expect(only!.kernel.body.match(/p\d\[i\] = /g)).toHaveLength(1);
  });

  test("what is read elsewhere or asked for is stored", () => {
    const shared = shift(x, 1);
    const [chain, total] = dispatches({ outputs: { shared, y: multiply(shared, x), s: sumLast(shared) } });
    expect(chain!.written.size).toBe(2);
    expect(total!.calls[0]!.kernel).toBe("sumLast");
  });

  test("a kernel has no more buffers than the GPU allows", () => {
    const all = Array.from({ length: 9 }, (_, at) => parameter(`p${at}`, [4]));
    const y = all.reduce((sum, each) => add(sum, each));
    for (const most of [3, 4, 8]) {
      const found = dispatches({ outputs: { y } }, most);
      expect(found.length).toBeGreaterThan(1);
      for (const { buffers } of found) expect(buffers.length).toBeLessThanOrEqual(most);
    }
    expect(dispatches({ outputs: { y } }, 16)).toHaveLength(1);
  });

  test("an update is written where the state lies, and other kernels stand between", () => {
    const m = parameter("m", [7, 3]);
    const found = dispatches({ outputs: { y: matmul(x, m) }, updates: [[w, scale(w, 0.5)]] });
    expect(found.map(({ calls }) => calls[0]!.kernel).toSorted()).toEqual(["affine", "smallProduct"]);
    const update = found.find(({ calls }) => calls[0]!.kernel === "affine")!;
    expect(update.written.size).toBe(1);
  });
});

describe("texts", () => {
  test("a number is the same when it is read again", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const text = float(value);
        expect(text).toMatch(/^\(?-?\d[\d.e+-]*f\)?$/);
        expect(text).toMatch(/[.e]/);
        expect(Math.fround(Number(text.replaceAll(/[()f]/g, "")))).toBe(Math.fround(value));
      }),
    );
    expect(float(Infinity)).toBe("fromBits(2139095040u)");
    expect(float(-Infinity)).toBe("fromBits(4286578688u)");
    expect(float(Number.NaN)).toBe("fromBits(2143289344u)");
  });

  test("a kernel brings the functions that it calls, and those that these call, each after what it needs", () => {
    const names = (text: string): string[] => functionsFor(text).map((each) => /fn (\w+)/.exec(each)![1]!);
    expect(names("siluSlope(x)")).toEqual(["isNaN", "exponential", "logistic", "siluSlope"]);
    expect(names("larger(a, b) + toBfloat16(x)")).toEqual(["isNaN", "larger", "toBfloat16"]);
    expect(names("exp(x)")).toEqual([]);
  });

  test("operands at one place share a binding", () => {
    const [{ kernel, buffers }] = dispatches({ outputs: { y: add(x, scale(x, 2)) } }) as [Dispatch];
    expect(buffers).toHaveLength(2);
    const apart = shaderText(kernel, [0, 1]);
    const together = shaderText(kernel, [0, 0]);
    expect(apart.match(/@binding/g)).toHaveLength(2);
    expect(together.match(/@binding/g)).toHaveLength(1);
    expect(together).toContain("b0[i] = ");
    expect(together).not.toContain("p0[");
  });

  test("a grid has the groups that are asked for, and no side longer than WebGPU allows", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 }), (groups) => {
        const [across, down] = gridOf(groups);
        expect(across * down).toBeGreaterThanOrEqual(groups);
        expect((across - 1) * down).toBeLessThan(groups);
        expect(Math.max(across, down)).toBeLessThanOrEqual(65535);
      }),
    );
  });
});
