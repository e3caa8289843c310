// Settings with which AdamW cannot work in float32 are refused before anything runs, by the same rules wherever they are
// given: to the operation, to adamwUpdates, in a configuration.

import { describe, expect, test } from "vitest";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { adamw } from "../../src/ops/adamw.ts";
import { type AdamwSetting, adamwRules } from "../../src/ops/adamw-rules.ts";
import { square } from "../../src/ops/elementwise.ts";
import { sum } from "../../src/ops/reductions.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { adamwUpdates } from "../../src/training/adamw-updates.ts";
import { parseTrainingConfig } from "../../src/training/config.ts";
import { tinyTraining } from "../training/tiny.ts";

const bad: Readonly<Partial<Record<AdamwSetting, readonly number[]>>> = {
  beta1: [1, 1.5, -0.1, 0.99999999, NaN, Infinity],
  beta2: [1, 2, -1e-9, 1 - 2 ** -30, NaN],
  epsilon: [0, 1e-46, -1e-8, 1e39, 1e308, NaN, Infinity],
  weightDecay: [-0.1, 1e39, NaN, Infinity],
  learningRate: [-1e-3, 1e-46, 1e39, NaN, Infinity],
  clip: [0, -1, 1e-46, NaN],
};
const good: typeof bad = {
  beta1: [0, 0.9, 0.9999999],
  beta2: [0, 0.999, 0.9999999],
  epsilon: [1.5e-45, 1e-20, 1e-8, 1],
  weightDecay: [0, 0.1, 10],
  learningRate: [1e-30, 1e-3, 0.09],
  clip: [1e-30, 1, 1e38],
};
const pairs = (table: typeof bad): [AdamwSetting, number][] =>
  Object.entries(table).flatMap(([name, values]) =>
    values.map((value): [AdamwSetting, number] => [name as AdamwSetting, value]),
  );

const parameters = createParameters();
const weight = parameters.create("weight", [4], { values: [3, -1, 0, 1e-30] }, "weight");
const loss = sum(square(weight));
const state = (): Parameters<typeof adamw>[0] => {
  const [m, v, schedule, clip] = [input("m", [4]), input("v", [4]), input("schedule", [3]), input("clip", [2])];
  return { param: weight, gradient: weight, m, v, schedule, clip };
};

describe.each(pairs(bad))("%s %d", (name, value) => {
  const said = `${name} is ${value}; it must be ${adamwRules[name].allowed}`;
  test("is refused by the library", () => {
    expect(() => adamwUpdates(parameters, loss, { [name]: value })).toThrow(new RangeError(`adamwUpdates: ${said}.`));
    if (name === "learningRate" || name === "clip") return;
    expect(() => adamw(state(), { [name]: value })).toThrow(new RangeError(`adamw: ${said}.`));
  });
  test("is refused in a configuration, by its name there", () => {
    const config = tinyTraining("residual");
    const given = { ...config, optimizer: { ...config.optimizer, [name]: value } };
    expect(() => parseTrainingConfig(given)).toThrow(`\n  optimizer.${name}: ${value} is given; it must be`);
  });
});

describe.each(pairs(good))("%s %d", (name, value) => {
  test("is accepted", () => {
    const config = tinyTraining("residual");
    expect(() => adamwUpdates(parameters, loss, { [name]: value })).not.toThrow();
    expect(() => parseTrainingConfig({ ...config, optimizer: { ...config.optimizer, [name]: value } })).not.toThrow();
  });
});

test("a rate by step is checked when it is asked for", () => {
  const { at } = adamwUpdates(parameters, loss, { learningRate: (step) => 0.1 * (3 - step) });
  expect(at(3)[0]).toBe(0);
  expect(() => at(4)).toThrow(/^adamwUpdates, step 4: learningRate is -0\.1; it must be 0, or from/);
});

test.each([1, 2])("the extremes that are accepted leave finite values, on %i threads", async (threads) => {
  const runtime = await createWasmRuntime({ threads });
  for (const epsilon of [1.5e-45, 1e-8]) {
    for (const [beta1, beta2] of [
      [0, 0],
      [0.9999999, 0.9999999],
    ] as const) {
      const settings = { beta1, beta2, epsilon, weightDecay: 0 };
      const step = adamwUpdates(parameters, sum(square(weight)), settings);
      const program = runtime.compile({ outputs: {}, updates: step.updates });
      runtime.write(weight, [3, -1, 0, 1]);
      for (let t = 1; t <= 3; t++) {
        step.write(runtime, t);
        program.run();
      }
      const after = [...runtime.readNow(weight)];
      expect(after.every(Number.isFinite), `${JSON.stringify(settings)}: ${after.join()}`).toBe(true);
      expect(after[2]).toBe(0);
      program.release();
    }
  }
  runtime.close();
});
