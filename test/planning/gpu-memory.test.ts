// What must hold of any plan of memory, the paper's block sizes, and the states of a real training step.

import fc from "fast-check";
import { expect, test } from "vitest";
import { defaultConnection } from "../../src/connections/table.ts";
import { modelSchema, presets } from "../../src/model/config.ts";
import { checkLayout, type Layout, possibleLayouts, stagesOf } from "../../src/planning/layout.ts";
import { memoryClasses, memoryVariants, peakMemory, precisions, stageMemories } from "../../src/planning/gpu-memory.ts";
import { countParameters } from "../../src/planning/parameters.ts";
import { plannedModel, plannedModels } from "../../src/planning/presets.ts";
import { parseTrainingConfig } from "../../src/training/config.ts";
import { blockObjective } from "../../src/planning/block-objective.ts";
import { planStepMemory } from "../../src/planning/step-memory.ts";
import { plannedMachine } from "../../src/runtime/machines.ts";

const alone: Layout = {
  gpus: 1,
  pipeline: 1,
  expert: 1,
  tensor: 1,
  contextParallel: 1,
  zero: 1,
  microBatch: 1,
  accumulate: 8,
};

test.each(["nano", "micro", "mini"] as const)("%s: the states of the real training step, to the byte", (name) => {
  const model = plannedModel(name);
  if (model.known !== "shapes") throw new Error(`${name} has no shapes`);
  const kinds = { residual: "residual", stored: "mhc" } as const;
  for (const variant of ["residual", "stored"] as const) {
    const [batch, size] = [2, presets[name]];
    const config = parseTrainingConfig({
      name: "plan",
      data: { source: "-", vocabulary: model.vocabulary },
      model: modelSchema.parse({
        ...size,
        vocabulary: model.vocabulary,
        connection: defaultConnection(kinds[variant]),
      }),
      batch,
      steps: 1,
      optimizer: { learningRate: 1e-3, warmup: 0, schedule: { kind: "constant" } },
      evaluateEvery: 1,
      checkpointEvery: 1,
    });
    const { stateBytes } = planStepMemory(config, plannedMachine({ threads: 2 }));
    // Tokens, targets, and the three numbers of the schedule.
    const inputs = 4 * (2 * batch * size.context + 3);
    const { bytes } = peakMemory(model, { ...alone, microBatch: batch }, precisions.float32, variant);
    expect(bytes.weights + bytes.optimizer, variant).toBe(stateBytes - inputs);
  }
});

test("alone a stage takes the block of Eq. 20, which for 60 sublayers is 6", () => {
  const best = (name: string): number | undefined =>
    peakMemory(plannedModel(name), alone, precisions.mixed, "recomputed").storeEvery;
  expect(best("paper-27b")).toBe(6);
  expect([...Array(60).keys()].every((i) => blockObjective(4, 60, i + 1) >= blockObjective(4, 60, 6))).toBe(true);
  // 4 and 6 both give 60; the smaller holds fewer coefficients.
  expect(best("paper-9b")).toBe(4);
  expect(best("paper-3b")).toBe(4);
});

test("four streams stored cost 4C, a read and a result more; recomputation takes most of it back", () => {
  const model = plannedModel("paper-27b");
  const [residual, stored, recomputed] = memoryVariants.map((v) => peakMemory(model, alone, precisions.mixed, v).bytes);
  const token = (bytes: number): number => bytes / model.context / model.width / 2;
  expect(token(residual!.streams)).toBe(60);
  expect(token(stored!.streams)).toBeCloseTo(60 * 6 + (60 * 4 * 49) / 2 / model.width, 6);
  // Eq. 20's 76 C, F's results, and coefficients of six sublayers.
  expect(token(recomputed!.streams)).toBeCloseTo(76 + 60 + (6 * 4 * 49) / 2 / model.width, 6);
  expect(recomputed!.activations).toBeLessThan(stored!.activations);
});

const models = plannedModels.filter(({ known }) => known === "shapes");
const anyLayout = fc
  .record({
    model: fc.constantFrom(...models),
    power: fc.integer({ min: 0, max: 7 }),
    microBatch: fc.integer({ min: 1, max: 4 }),
  })
  .chain(({ model, power, microBatch }) => {
    const layouts = possibleLayouts(model, { gpus: 2 ** power, zero: 1, microBatch });
    return fc.record({ model: fc.constant(model), layout: fc.constantFrom(...layouts) });
  });

test("the stages of all GPUs together hold every weight once for each copy, and all experts", () => {
  fc.assert(
    fc.property(anyLayout, fc.constantFrom(...memoryVariants), ({ model, layout }, variant) => {
      expect(() => checkLayout(layout, model)).not.toThrow();
      const stages = stageMemories(model, layout, precisions.float32, variant);
      expect(stages.reduce((sum, { stage }) => sum + stage.layers, 0)).toBe(model.layers);
      if (layout.expert > 1) return;
      const { total, parts } = countParameters(model);
      const weights = stages.reduce((sum, { bytes }) => sum + bytes.weights, 0);
      expect(weights).toBe(4 * (variant === "residual" ? total - parts.connection.total : total));
    }),
  );
});

test("more sharing never takes more memory", () => {
  fc.assert(
    fc.property(anyLayout, fc.constantFrom(...memoryVariants), ({ model, layout }, variant) => {
      const peak = (changes: Partial<Layout>): number =>
        peakMemory(model, { ...layout, ...changes }, precisions.mixed, variant).total;
      expect(peak({})).toBeLessThanOrEqual(peak({ zero: 0 }));
      expect(peak({})).toBeLessThanOrEqual(peak({ expert: 1 }) * (1 + 1e-12));
      expect(peak({ microBatch: layout.microBatch + 1 })).toBeGreaterThan(peak({}));
    }),
  );
});

test("layers are spread evenly, and a stage holds as many micro-batches as stages follow it and itself", () => {
  const stages = stagesOf(plannedModel("paper-27b"), { ...alone, gpus: 8, pipeline: 8 });
  expect(stages.map(({ layers }) => layers)).toEqual([4, 4, 4, 4, 4, 4, 3, 3]);
  expect(stages.map((stage) => stage.expertLayers)).toEqual([3, 4, 4, 4, 4, 4, 3, 3]);
  expect(stages.map(({ inFlight }) => inFlight)).toEqual([8, 7, 6, 5, 4, 3, 2, 1]);
});

test("a layout that does not fit is refused with what would", () => {
  const model = plannedModel("paper-27b");
  const check = (changes: Partial<Layout>) => () => checkLayout({ ...alone, ...changes }, model);
  expect(check({ gpus: 8, pipeline: 3 })).toThrow(/8 GPUs.*3 stages.*1, 2, 4 or 8/);
  expect(check({ gpus: 64, pipeline: 32 })).toThrow(/32.*30 layers/s);
  expect(check({ gpus: 64, pipeline: 2, expert: 5 })).toThrow(/expert is 5.*32 copies.*1, 2, 4 or 8/);
  expect(check({ gpus: 0 })).toThrow(/gpus is 0/);
});

test("of a model whose shapes are not public the activations are unknown, the streams are not", () => {
  const { bytes } = peakMemory(plannedModel("deepseek-v4-flash"), alone, precisions.mixed, "stored");
  expect(bytes.activations).toBeNaN();
  for (const name of memoryClasses.filter((each) => each !== "activations")) expect(bytes[name]).toBeGreaterThan(0);
});
