// What a training step is predicted to need and what it writes, and that nothing else changes.

import { describe, expect, test } from "vitest";
import { given } from "../../src/basics/given.ts";
import { type ConnectionConfig, connectionKinds, defaultConnection } from "../../src/connections/table.ts";
import { modelSchema, presets } from "../../src/model/config.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { parseTrainingConfig, type RecomputeConfig } from "../../src/training/config.ts";
import {
  chooseRecompute,
  predictStepMemory,
  resolveRecompute,
  type StepMemory,
} from "../../src/training/recomputation.ts";
import { measureExtraMemory, measureStepMemory, planStepMemory } from "../../src/planning/step-memory.ts";
import type { StepConfig } from "../../src/training/step.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { tinyBatches, tinyTraining } from "./tiny.ts";
import { plannedMachine } from "../../src/runtime/machines.ts";
import { oneByOne } from "../collect.ts";

const connections = {
  mhc: defaultConnection("mhc"),
  "mhc in bfloat16": { ...defaultConnection("mhc"), streamPrecision: "bfloat16" } as ConnectionConfig,
  hc: defaultConnection("hc"),
  residual: defaultConnection("residual"),
};
const everyKind = Object.fromEntries(connectionKinds.map((kind) => [kind, defaultConnection(kind)]));
type Name = keyof typeof connections;

/** 24 sublayers. */
function deep(name: Name, preset: "nano" | "micro", batch: number, accumulate = 1): StepConfig {
  const connection = connections[name];
  const model = modelSchema.parse({ ...presets[preset], layers: 12, vocabulary: 1024, connection });
  const { optimizer } = tinyTraining(connection.kind);
  return { model, batch, accumulate, optimizer };
}

const machine = plannedMachine({ threads: 2 });
const total = ({ stateBytes, arenaBytes }: StepMemory): number => stateBytes + arenaBytes;

describe.each(["mhc", "mhc in bfloat16", "hc"] as const)("%s, 24 sublayers", (name) => {
  test.each([1, 2])("what a run writes is within 2 % of what is predicted, %i microbatches", async (accumulate) => {
    const config = deep(name, "nano", 2, accumulate);
    const runtime = await createWasmRuntime({ threads: 2 });
    try {
      const prediction = predictStepMemory(config, runtime.machine);
      expect(prediction.sublayers).toBe(24);
      const everies = accumulate === 1 ? [1, 2, 3, 5, 7, 11, 24] : [chooseRecompute(config, runtime.machine)];
      for (const every of everies) {
        const [predicted, measured] = [prediction.of(every), await measureStepMemory(runtime, config, every)];
        expect(predicted.stateBytes).toBe(measured.stateBytes);
        // Of the arena alone a little more: small models lose some of it between their buffers.
        expect(Math.abs(predicted.arenaBytes / measured.arenaBytes - 1), `arena, every ${every}`).toBeLessThan(0.03);
        expect(Math.abs(total(predicted) / total(measured) - 1), `every ${every}`).toBeLessThan(0.02);
      }
      expect((await measureStepMemory(runtime, config)).arenaBytes).toBeGreaterThan(prediction.of(5).arenaBytes * 1.2);
    } finally {
      runtime.close();
    }
  });

  test("the choice is the best there is, but for 2 %", () => {
    const config = deep(name, "nano", 2);
    const chosen = planStepMemory(config, machine, chooseRecompute(config, machine));
    for (const every of [1, 2, 3, 4, 5, 6, 7, 8, 12, 24])
      expect(chosen.arenaBytes, `every ${every}`).toBeLessThan(
        1.02 * planStepMemory(config, machine, every).arenaBytes,
      );
  });
});

test("a plain residual has only norms to compute again, whatever the number", () => {
  const config = deep("residual", "nano", 2);
  const bytes = [1, 5, 24].map((every) => planStepMemory(config, machine, every).arenaBytes);
  expect(new Set(bytes).size).toBe(1);
  expect(bytes[0]).toBeLessThan(planStepMemory(config, machine).arenaBytes);
  expect(chooseRecompute(config, machine)).toBe(1);
});

test("24 sublayers of width 256: four streams cost at most 35 % more memory than one", () => {
  const [mhc, residual] = [deep("mhc", "micro", 8), deep("residual", "micro", 8)];
  const baseline = total(planStepMemory(residual, machine));
  const every = chooseRecompute(mhc, machine);
  expect(total(planStepMemory(mhc, machine, every)) / baseline - 1).toBeLessThan(0.35);
  expect(total(planStepMemory(mhc, machine)) / baseline - 1).toBeGreaterThan(0.35);
});

test("measured against a baseline, each in a runtime of its own", async () => {
  const [mhc, residual] = [tinyTraining("mhc"), tinyTraining("residual")];
  const { storeEvery, recomputed, stored, baseline } = await measureExtraMemory(mhc, residual, () =>
    createWasmRuntime({ threads: 2 }),
  );
  expect(storeEvery).toBe(chooseRecompute(mhc, machine));
  expect(total(baseline)).toBeLessThan(total(recomputed));
  expect(total(recomputed)).toBeLessThan(total(stored));
});

describe("a trainer", () => {
  const steps = 4;
  test.each(Object.entries({ ...everyKind, ...connections }))(
    "%s: the same bits, resumed with another number",
    async (_name, connection) => {
      const runtime = await createWasmRuntime({ threads: 2 });
      const train = (recompute?: RecomputeConfig) => {
        const config = tinyTraining(connection.kind, {
          model: { connection },
          ...given({ recompute }),
        });
        return createTrainer(runtime, config, tinyBatches(config));
      };
      try {
        const plain = train();
        const losses = (await oneByOne(Array(steps).keys(), () => plain.trainStep())).map(({ loss }) => loss);
        const seen = (await plain.trainStep({ instruments: true })).instruments;
        const expected = await plain.save();
        expect(plain.storeEvery).toBeUndefined();
        for (const recompute of ["none", "auto", 1, 2, 3, 9] as const) {
          const first = train(recompute);
          const before = [(await first.trainStep()).loss, (await first.trainStep()).loss];
          const second = train(recompute === 2 ? "none" : 2);
          second.restore(await first.save());
          const after = [(await second.trainStep()).loss, (await second.trainStep()).loss];
          expect([...before, ...after], String(recompute)).toEqual(losses);
          expect((await second.trainStep({ instruments: true })).instruments).toEqual(seen);
          expect(await second.save()).toEqual(expected);
        }
      } finally {
        runtime.close();
      }
    },
  );
});

test("a configuration says none, auto or a number; without it nothing is recomputed", () => {
  const config = tinyTraining("mhc");
  expect("recompute" in config).toBe(false);
  expect(resolveRecompute(config, machine, config.recompute)).toBeUndefined();
  expect(resolveRecompute(config, machine, "none")).toBeUndefined();
  expect(resolveRecompute(config, machine, 3)).toBe(3);
  expect(resolveRecompute(config, machine, "auto")).toBe(chooseRecompute(config, machine));
  for (const recompute of ["none", "auto", 4])
    expect(parseTrainingConfig({ ...config, recompute }).recompute).toBe(recompute);
  for (const recompute of [0, 1.5, "some", null])
    expect(() => parseTrainingConfig({ ...config, recompute })).toThrow("recompute");
});
