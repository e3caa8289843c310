// Steps of any size, compiled: the bytes of real programs, and the counts of the planner at the paper's sizes.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compileSteps } from "../../src/planning/compiled-step.ts";
import { countFlops } from "../../src/planning/flops.ts";
import { countParameters } from "../../src/planning/parameters.ts";
import { plannedModel } from "../../src/planning/presets.ts";
import { type KernelRates, stepConfig } from "../../src/planning/step-time.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { loadStep } from "../../src/planning/step-memory.ts";

let runtime: WasmRuntime;
beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 2 });
});
afterAll(() => runtime.close());

const unit: KernelRates = { seconds: new Map(), parallel: 1, wait: 0, otherByte: 1 };

test("the planned bytes are those of the compiled programs", () => {
  const model = plannedModel("nano");
  if (model.known !== "shapes") throw new Error("nano has no shapes");
  const small = { ...model, layers: 2, vocabulary: 64, context: 32 };
  const steps = compileSteps(small, { batch: 2, machine: runtime.machine, rates: unit });
  const { context, width, layers, vocabulary } = small;
  const shape = { context, width, layers, vocabulary, heads: 4, kvHeads: 4, hidden: 384 };
  for (const [variant, kind] of [
    ["residual", "residual"],
    ["stored", "mhc"],
    ["recomputed", "mhc"],
  ] as const) {
    const { arenaBytes, storeEvery } = steps[variant];
    const { programs } = loadStep(runtime, stepConfig(shape, { kind }, 2), storeEvery);
    expect(Math.max(...programs.map((program) => program.plan!.arena.bytes)), variant).toBe(arenaBytes);
  }
  expect(steps.recomputed.arenaBytes).toBeLessThanOrEqual(steps.stored.arenaBytes);
});

describe.each(["paper-3b", "paper-27b"])("%s", (name) => {
  const model = { ...plannedModel(name), context: 1024 };
  const steps = compileSteps(model);
  const count = countParameters(model);
  const flops = countFlops(model);

  test("has the planner's parameters, the experts' biases besides, with their moments", () => {
    if (model.known !== "shapes" || model.feedForward.kind !== "experts") throw new Error(`${name} has no experts`);
    const biases = (model.layers - 1) * model.feedForward.routed;
    expect(steps.stored.parameters).toBe(count.total + biases);
    expect(steps.residual.parameters).toBe(count.total - count.parts.connection.total + biases);
    const inputs = steps.stored.stateBytes - 12 * count.total - 4 * biases;
    expect(inputs).toBeGreaterThan(8 * model.context);
    expect(inputs).toBeLessThan(1e-4 * steps.stored.stateBytes);
  });

  test("has the planner's operations; AdamW, clipping and attention's scores computed again come on top", () => {
    const { residual, stored, recomputed } = steps;
    expect(residual.flops / (model.context * flops.baseline.training)).toBeGreaterThan(1);
    expect(residual.flops / (model.context * flops.baseline.training)).toBeLessThan(1.03);
    const connection = 3 * model.context * flops.parts.connection;
    expect((stored.flops - residual.flops) / connection).toBeGreaterThan(0.9);
    expect((stored.flops - residual.flops) / connection).toBeLessThan(1.1);
    expect(recomputed.flops).toBeGreaterThan(stored.flops);
  });

  test("needs more than 32 bits can count, of bytes and operations", () => {
    for (const { arenaBytes, stateBytes, flops } of Object.values(steps)) {
      expect(arenaBytes).toBeGreaterThan(2 ** 33);
      expect(stateBytes).toBeGreaterThan(2 ** 35);
      expect(flops).toBeGreaterThan(2 ** 41);
    }
    expect(steps.recomputed.arenaBytes).toBeLessThanOrEqual(steps.stored.arenaBytes);
  });
});

test("a model whose blocks cannot be built here says so", () => {
  expect(() => compileSteps(plannedModel("deepseek-v4-flash"))).toThrow(
    /deepseek-v4-flash cannot be compiled: its attention/,
  );
});
