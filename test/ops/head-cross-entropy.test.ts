// A head whose logits are not stored: the same bits on the CPU as with the logits, less memory, and no product twice.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { crossEntropy } from "../../src/ops/cross-entropy.ts";
import { gradients } from "../../src/ops/gradients.ts";
import { headCrossEntropy, headRows } from "../../src/ops/head-cross-entropy.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { mean } from "../../src/ops/reductions.ts";
import { gpuMachine } from "../../src/runtime/gpu/machine.ts";
import { compilePlan, withoutMemory } from "../../src/runtime/plan/compile.ts";
import type { Machine } from "../../src/runtime/plan/machine.ts";
import { type ComputePrecision, programInPrecision } from "../../src/runtime/precision.ts";
import { wasmMachine } from "../../src/runtime/wasm/machine.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { normal, uniform } from "./harness.ts";

let wasm: WasmRuntime;
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 2 });
});
afterAll(() => wasm.close());

type Head = (x: Tensor, w: Tensor, targets: Tensor) => Tensor;
const whole: Head = (x, w, targets) => crossEntropy(matmul(x, w), targets);

function program(head: Head, [N, C, V]: readonly [number, number, number]) {
  const [x, w, targets] = [input("x", [N, C]), input("w", [C, V]), input("targets", [N], "i32")];
  const loss = mean(head(x, w, targets));
  const [dx, dw] = gradients(loss, [x, w]) as [Tensor, Tensor];
  return { x, w, targets, spec: { outputs: { loss, dx, dw } } };
}

test("the CPU computes the same bits, whatever the chunks", () => {
  const sizes = [45, 20, 70] as const;
  const random = uniform(5);
  const values = {
    x: Float32Array.from({ length: 45 * 20 }, () => normal(random)),
    w: Float32Array.from({ length: 20 * 70 }, () => normal(random)),
    targets: Int32Array.from({ length: 45 }, () => Math.floor(70 * random())),
  };
  const bits = (head: Head): Int32Array[] => {
    const { x, w, targets, spec } = program(head, sizes);
    const compiled = wasm.compile(spec);
    wasm.write(x, values.x);
    wasm.write(w, values.w);
    wasm.write(targets, values.targets);
    compiled.run();
    const found = (["loss", "dx", "dw"] as const).map((name) => {
      const read = compiled.readNow(name);
      return new Int32Array(Float32Array.from(typeof read === "number" ? [read] : read).buffer);
    });
    compiled.release();
    return found;
  };
  const expected = bits(whole);
  for (const rows of [1, 7, 15, 44, 45, 90])
    expect(
      bits((x, w, targets) => headCrossEntropy(x, w, targets, { rows })),
      `${rows} rows`,
    ).toEqual(expected);
});

describe("a head of 4096 rows and 30,000 words", () => {
  const gpu = { name: "gpu", largestMemory: 2 ** 40, largestBuffer: 2 ** 40, alignment: 256 };
  const cases: readonly (readonly [name: string, Machine, ComputePrecision])[] = [
    ["wasm", wasmMachine({ threads: 4, panelWidth: 16 }), "float32"],
    ["gpu", gpuMachine(gpu), "float32"],
    ["gpu", gpuMachine(gpu), "bfloat16"],
  ];
  const sizes = [4096, 64, 30_000] as const;
  test.each(cases)("%s, %s: half of the memory, the same work", (_name, machine, precision) => {
    const [before, after] = ([whole, headCrossEntropy] as const).map((head) => {
      const { spec } = program(head, sizes);
      const plan = compilePlan(programInPrecision(spec, precision), machine, withoutMemory());
      return { bytes: plan.arena.bytes, flops: plan.calls.reduce((sum, { flops }) => sum + flops, 0) };
    }) as [{ bytes: number; flops: number }, { bytes: number; flops: number }];
    expect(before.bytes).toBeGreaterThan(4096 * 30_000 * 4);
    expect(after.bytes / before.bytes).toBeLessThan(0.6);
    expect(after.flops / before.flops).toBeGreaterThan(0.99);
    expect(after.flops / before.flops).toBeLessThan(1.01);
  });
});

test("few logits are stored; many are cut evenly into whole blocks", () => {
  expect(headRows(2048, 256, 65)).toBe(2048);
  expect(headRows(8192, 768, 50_257)).toBe(1664);
  expect(headRows(2048, 64, 50_257)).toBe(512);
  expect(headRows(4096, 4096, 30_000)).toBe(4096);
});

test("rows that are no whole number are refused", () => {
  const { x, w, targets } = program(whole, [4, 2, 3]);
  expect(() => headCrossEntropy(x, w, targets, { rows: 0.5 })).toThrow(
    "headCrossEntropy: rows is 0.5; it must be a whole number of at least 1.",
  );
});
