// A predicted step: the bytes of the programs that are then compiled, and seconds that follow from the rates.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  compareStepTimes,
  type KernelRates,
  measureKernels,
  predictStepTime,
  stepConfig,
} from "../../src/planning/step-time.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { loadStep } from "../../src/planning/step-memory.ts";

let runtime: WasmRuntime;
beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 2 });
});
afterAll(() => runtime.close());

const size = { context: 12, width: 24, layers: 3, heads: 2, kvHeads: 1, hidden: 40, vocabulary: 30 };
const unit: KernelRates = { seconds: new Map(), parallel: 1, wait: 0, otherByte: 1 };

describe.each(["residual", "mhc"] as const)("%s", (kind) => {
  const config = stepConfig(size, { kind }, 2);

  test("with a second for each operation or byte the time is their sum", () => {
    const { calls, phases } = loadStep(runtime, config).micro.plan!;
    const flops = calls.reduce((sum, call) => sum + call.flops, 0);
    const rates = { ...unit, seconds: new Map(calls.map(({ kernel }) => [kernel, { flop: 1, byte: 0 }])) };
    expect(predictStepTime(config, runtime.machine, rates)).toBe(flops);
    expect(predictStepTime(config, runtime.machine, { ...rates, parallel: 0.5 })).toBe(flops / 2);
    expect(predictStepTime(config, runtime.machine, { ...rates, parallel: 0.5, wait: 3 })).toBe(
      flops / 2 + 3 * phases.length,
    );
    expect(predictStepTime(config, runtime.machine, unit)).toBeGreaterThan(0);
  });

  test("a deeper model takes longer, recomputation too", () => {
    const rates = { ...unit, seconds: new Map<string, { flop: number; byte: number }>() };
    const time = (layers: number, storeEvery?: number): number =>
      predictStepTime(stepConfig({ ...size, layers }, { kind }, 2), runtime.machine, rates, storeEvery);
    expect(time(4)).toBeGreaterThan(time(3));
    expect(time(3, 2)).toBeGreaterThan(time(3));
  });
});

test("kernels are measured: every rate is a positive number, products of matrices among them", async () => {
  const { seconds, parallel, wait, otherByte } = await measureKernels(runtime);
  const rates = [...seconds.values()].flatMap(({ flop, byte }) => (flop === undefined ? [byte] : [byte, flop]));
  for (const rate of [...rates, parallel, otherByte]) {
    expect(rate).toBeGreaterThan(0);
    expect(rate).toBeLessThan(Number.POSITIVE_INFINITY);
  }
  expect(wait).toBeGreaterThanOrEqual(0);
  expect([...seconds.keys()].some((kernel) => kernel.startsWith("gemm"))).toBe(true);
}, 60_000);

test("steps that are compared give back all that they took", async () => {
  const configs = (["residual", "mhc"] as const).map((kind) => stepConfig(size, { kind }, 2));
  const own = await createWasmRuntime({ threads: 1 });
  try {
    const times = await compareStepTimes(own, configs);
    expect(times.every((milliseconds) => milliseconds > 0 && Number.isFinite(milliseconds))).toBe(true);
    const taken = own.memoryBytes();
    for (let again = 0; again < 3; again++) await compareStepTimes(own, configs);
    expect(own.memoryBytes()).toBe(taken);
  } finally {
    own.close();
  }
});
