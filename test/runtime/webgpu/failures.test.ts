// What goes wrong on a GPU is told by whoever it concerns, and the rest goes on: kernels that do not compile, memory that
// does not suffice, indices out of range. A lack of memory is played: the device makes an invalid buffer and says why.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { input, parameter, persistent } from "../../../src/graph/state.ts";
import { add, multiply, scale, shift } from "../../../src/ops/elementwise.ts";
import { mean } from "../../../src/ops/reductions.ts";
import type { TensorValues } from "../../../src/runtime/program.ts";
import { createWebgpuRuntime } from "../../../src/runtime/webgpu/node/runtime.ts";
import type { WebgpuRuntime } from "../../../src/runtime/webgpu/runtime.ts";
import { describeIndexErrors } from "../gpu/index-errors.ts";
import { hasWebgpu } from "./here.ts";

describe.skipIf(!(await hasWebgpu()))("on WebGPU", { timeout: 120_000 }, () => {
  let runtime: WebgpuRuntime;
  const undo: (() => void)[] = [];
  beforeEach(async () => void (runtime = await createWebgpuRuntime()));
  afterEach(() => {
    for (const each of undo.splice(0)) each();
    runtime.close();
  });
  const mend = (): void => {
    for (const each of undo.splice(0)) each();
  };

  /** No memory for buffers of more bytes than that. */
  function limitMemory(most: number): void {
    const { createBuffer, popErrorScope } = GPUDevice.prototype;
    undo.push(() => void Object.assign(GPUDevice.prototype, { createBuffer, popErrorScope }));
    let refused = false;
    GPUDevice.prototype.createBuffer = function (descriptor) {
      if (descriptor.size <= most) return createBuffer.call(this, descriptor);
      // Of no use, it is invalid: whatever used it would be an error of its own.
      this.pushErrorScope("validation");
      const invalid = createBuffer.call(this, { ...descriptor, usage: 0 });
      void popErrorScope.call(this);
      refused = true;
      return invalid;
    };
    GPUDevice.prototype.popErrorScope = async function () {
      const lacks = refused;
      refused = false;
      const error = await popErrorScope.call(this);
      return lacks ? new GPUOutOfMemoryError("played") : error;
    };
  }
  /** Kernels with this text do not compile. */
  function refuseKernels(text: string): void {
    const { createShaderModule } = GPUDevice.prototype;
    undo.push(() => void Object.assign(GPUDevice.prototype, { createShaderModule }));
    GPUDevice.prototype.createShaderModule = function (descriptor) {
      const { code } = descriptor;
      return createShaderModule.call(this, { ...descriptor, code: code.includes(text) ? `${code} nonsense` : code });
    };
  }
  const list = async (values: Promise<TensorValues>): Promise<number[]> => [...(await values)];
  const messageOf = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => "nothing was wrong",
      (error: Error) => error.message,
    );
  const x = input("x", [4]);

  describe("a kernel that does not compile", () => {
    test("fails its own program, by name and sizes, and no other; mended, it compiles", async () => {
      refuseKernels("sqrt");
      const y = scale(x, 3);
      const [good, bad] = [
        runtime.compile({ outputs: { y } }),
        runtime.compile({ outputs: { y: add(y, shift(scale(multiply(x, x), 2), 0.5)) } }),
      ];
      runtime.write(x, [1, 2, 3, 4]);
      bad.release();
      mend();
      refuseKernels("0.5f");
      const worse = runtime.compile({ outputs: { y: shift(multiply(x, x), 0.5) } });
      worse.run();
      expect(await messageOf(worse.read("y"))).toMatch(
        /^webgpu: the kernel of .*(shift|multiply).* \(2 operands of 16 B, 16 B\) does not compile on this GPU: .*nonsense/s,
      );
      expect(await messageOf(worse.read("y"))).toMatch(/does not compile/);
      expect(() => worse.run()).toThrow(/does not compile/);
      good.run();
      expect(await list(good.read("y"))).toEqual([3, 6, 9, 12]);
      await runtime.finish();
      mend();
      const mended = runtime.compile({ outputs: { y: shift(multiply(x, x), 0.5) } });
      mended.run();
      expect(await list(mended.read("y"))).toEqual([1.5, 4.5, 9.5, 16.5]);
    });

    test("a run that it made impossible is told by the next read, once, if nobody asks its program", async () => {
      refuseKernels("0.25f");
      const state = persistent("state", [4]);
      const bad = runtime.compile({ outputs: {}, updates: [[state, shift(state, 0.25)]] });
      bad.run();
      expect(await messageOf(runtime.finish())).toMatch(/does not compile/);
      expect(await list(runtime.read(state))).toEqual([0, 0, 0, 0]);
      bad.release();
      runtime.forget(state);
    });
  });

  describe("memory that does not suffice", () => {
    const large = input("large", [2 ** 14]);

    test("for the arena fails the program with its sizes; what others have computed is still there", async () => {
      const small = runtime.compile({ outputs: { y: scale(x, 2) } });
      runtime.write(x, [1, 2, 3, 4]);
      small.run();
      runtime.write(large, new Float32Array(2 ** 14).fill(1));
      await runtime.finish();
      const before = runtime.memoryBytes!();
      limitMemory(2 ** 14);
      const spec = { outputs: { a: scale(large, 2), b: scale(large, 3), c: shift(large, 1) } };
      const big = runtime.compile(spec);
      expect(await list(small.read("y"))).toEqual([2, 4, 6, 8]);
      const told = /^Out of memory: the GPU has no 0\.2 MiB left for arena; 0\.1 MiB are taken\. Use a smaller batch/;
      expect(() => big.run()).toThrow(told);
      expect(await messageOf(big.read("a"))).toMatch(told);
      const other = runtime.compile(spec);
      other.run();
      expect(await messageOf(other.read("a"))).toMatch(told);
      other.release();
      small.run();
      expect(await list(small.read("y"))).toEqual([2, 4, 6, 8]);
      mend();
      expect(() => big.run(), "it is not tried again by itself").toThrow(told);
      big.release();
      const again = runtime.compile(spec);
      runtime.write(large, new Float32Array(2 ** 14).fill(1));
      again.run();
      expect((await again.read("b"))[7]).toBe(3);
      small.run();
      expect(await list(small.read("y"))).toEqual([2, 4, 6, 8]);
      expect(runtime.memoryBytes!()).toBeGreaterThan(before + 3 * 2 ** 16);
    });

    test("for a state fails what needs it; forgotten, it begins anew", async () => {
      limitMemory(2 ** 14);
      const weights = parameter("weights", [2 ** 14]);
      runtime.write(weights, new Float32Array(2 ** 14).fill(5));
      const program = runtime.compile({ outputs: { y: mean(weights) } });
      program.run();
      expect(await messageOf(program.read("y"))).toMatch(/has no 0\.1 MiB left for weights/);
      expect(await messageOf(runtime.read(weights))).toMatch(/left for weights/);
      program.release();
      runtime.forget(weights);
      mend();
      runtime.write(weights, new Float32Array(2 ** 14).fill(5));
      const again = runtime.compile({ outputs: { y: scale(weights, 2) } });
      again.run();
      expect((await again.read("y"))[9]).toBe(10);
    });
  });

  describeIndexErrors(() => runtime);

  test("reads that are asked for together are one submission with the run before, and one buffer", async () => {
    const program = runtime.compile({ outputs: { a: scale(x, 2), b: shift(x, 1) } });
    runtime.write(x, [1, 2, 3, 4]);
    program.run();
    await runtime.finish();
    let [submissions, buffers] = [0, 0];
    const { submit } = GPUQueue.prototype;
    const { createBuffer } = GPUDevice.prototype;
    undo.push(() => {
      GPUQueue.prototype.submit = submit;
      GPUDevice.prototype.createBuffer = createBuffer;
    });
    GPUQueue.prototype.submit = function (...given) {
      submissions++;
      return submit.apply(this, given);
    };
    GPUDevice.prototype.createBuffer = function (...given) {
      buffers++;
      return createBuffer.apply(this, given);
    };
    program.run();
    const [a, b] = await Promise.all([program.read("a"), program.read("b"), runtime.read(x)]);
    expect([[...a], [...b]]).toEqual([
      [2, 4, 6, 8],
      [2, 3, 4, 5],
    ]);
    expect([submissions, buffers]).toEqual([1, 0]);
  });
});
