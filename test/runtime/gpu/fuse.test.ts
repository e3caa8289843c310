// Chains of elementwise work become one kernel; texts of numbers are exact; shaders name each place once.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { input, parameter, persistent } from "../../../src/graph/state.ts";
import { adamw } from "../../../src/ops/adamw.ts";
import { clipScale } from "../../../src/ops/clip-scale.ts";
import { add, exp, multiply, scale, shift } from "../../../src/ops/elementwise.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { broadcast, sumLast } from "../../../src/ops/reductions.ts";
import { sumSquares } from "../../../src/ops/sum-squares.ts";
import { functionsFor } from "../../../src/runtime/gpu/functions.ts";
import { type Dispatch, dispatchesOf } from "../../../src/runtime/gpu/fuse.ts";
import { gpuMachine } from "../../../src/runtime/gpu/machine.ts";
import { float } from "../../../src/runtime/gpu/work.ts";
import { compilePlan, withoutMemory } from "../../../src/runtime/plan/compile.ts";
import type { ProgramSpec } from "../../../src/runtime/program.ts";
import { gridOf, memberText, shaderText } from "../../../src/runtime/webgpu/shader.ts";

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

describe("joining", () => {
  const schedule = input("schedule", [3]);
  const sizes = [[5, 7], [7], [3000]];
  const step = (): ProgramSpec => {
    const params = sizes.map((shape, at) => parameter(`w${at}`, shape));
    const gradients = params.map((param) => scale(param, 0.5));
    const clip = clipScale(gradients.map(sumSquares), 1);
    const updates = params.flatMap((param, at) => {
      const [m, v] = [persistent(`m${at}`, param.shape), persistent(`v${at}`, param.shape)];
      const next = adamw({ param, gradient: gradients[at]!, m, v, schedule, clip });
      return [param, m, v].map((state, k) => [state, next[k]!] as const);
    });
    return { outputs: { clip }, updates };
  };
  const labels = (found: readonly Dispatch[]): string[] => found.map(({ label }) => label);

  test("a step of AdamW over many parameters is one kernel, and so are each round of the sums and clipping", () => {
    const found = dispatches(step());
    expect(labels(found)).toEqual([
      "affine and 2 more",
      "sumSquares and 2 more",
      "sumSquares",
      "clipScale",
      "adamw and 2 more",
    ]);
    const { kernel, members } = found.at(-1)!;
    expect(members!.map(({ numbers }) => numbers["size"])).toEqual([35, 7, 3000]);
    expect(members!.map(({ groups }) => groups)).toEqual([1, 1, 6]);
    expect(kernel.groups).toBe(8);
    for (const { buffers } of members!) expect(buffers).toHaveLength(kernel.operands.length);
  });

  test("calls of other constants stay apart, and nothing joins what it needs", () => {
    const [a, b] = [parameter("a", [4]), parameter("b", [9])];
    const other = dispatches({ outputs: { x: scale(a, 2), y: scale(b, 2), z: scale(parameter("c", [5]), 3) } });
    expect(other.map(({ members }) => members?.length ?? 1).toSorted((a, b) => a - b)).toEqual([1, 2]);
    const chain = dispatches({ outputs: { y: sumSquares(matmul(x, parameter("m", [7, 3]))) } });
    expect(labels(chain)).toEqual(["matmul", "sumSquares"]);
  });

  test("what has more operands than a kernel may have buffers finds them by a table", () => {
    const sums = Array.from({ length: 40 }, (_, at) => parameter(`s${at}`, []));
    const [only, ...others] = dispatches({ outputs: { clip: clipScale(sums, 1) } });
    expect(others).toEqual([]);
    expect(only!.members!.map(({ buffers }) => buffers.length)).toEqual([41]);
    const bindings = only!.kernel.operands.map((_, at) => 1 + (at % 2));
    const text = memberText(only!.kernel, bindings, 1, []);
    expect(text.match(/@binding/g)).toHaveLength(3);
    expect(text).toContain("total += b2[sum39At + 0];");
    expect(text).toContain("let sum39At: u32 = places[entry + 40u];");
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
