// A trainer's steps: bits, accumulation, restoring, gains, evaluation, text, and steps that go wrong.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ConnectionKind, connectionKinds } from "../../src/connections/table.ts";
import { createWasmRuntime, type WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import type { Instruments } from "../../src/stability/instruments.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { createTrainer, type Trainer, type TrainerState } from "../../src/training/trainer.ts";
import { relativeError } from "../ops/harness.ts";
import { tinyBatches, tinySize, tinyTraining } from "./tiny.ts";

const runtimes: WasmRuntime[] = [];
let runtime: WasmRuntime;
beforeAll(async () => {
  for (const threads of [1, 2, 3]) runtimes.push(await createWasmRuntime({ threads }));
  runtime = runtimes[1]!;
});
afterAll(() => runtimes.forEach((open) => open.close()));

const trainerOf = (config: TrainingConfig, on: WasmRuntime = runtime): Trainer =>
  createTrainer(on, config, tinyBatches(config));
const steps = (trainer: Trainer, count: number): { loss: number; gradientNorm: number }[] =>
  Array.from({ length: count }, () => {
    const { loss, gradientNorm } = trainer.trainStep();
    return { loss, gradientNorm };
  });

describe.each(connectionKinds)("%s", (kind: ConnectionKind) => {
  test("the same bits on 1, 2 and 3 threads and from run to run", () => {
    const results = [...runtimes, runtime].map((on) => {
      const trainer = trainerOf(tinyTraining(kind), on);
      return {
        curve: steps(trainer, 5),
        evaluation: trainer.evaluate(),
        instruments: trainer.trainStep({ instruments: true }).instruments,
        state: trainer.save(),
      };
    });
    for (const result of results.slice(1)) expect(result).toEqual(results[0]);
    expect(new Set(results[0]!.curve.map(({ loss }) => loss)).size).toBe(5);
  });
  test("two microbatches of 4 are one batch of 8", () => {
    const whole = trainerOf(tinyTraining(kind, { batch: 8 }));
    const parts = trainerOf(tinyTraining(kind, { batch: 4, accumulate: 2 }));
    const [expected, actual] = [steps(whole, 8), steps(parts, 8)];
    for (const key of ["loss", "gradientNorm"] as const) {
      // Only the order of additions differs.
      expect(
        relativeError(
          actual.map((step) => step[key]),
          expected.map((step) => step[key]),
        ),
        key,
      ).toBeLessThan(key === "loss" ? 1e-6 : 1e-4);
    }
  });
  test("it learns", () => {
    const curve = steps(trainerOf(tinyTraining(kind, { steps: 150, optimizer: { learningRate: 1e-2 } })), 150).map(
      ({ loss }) => loss,
    );
    expect(curve[0]!).toBeCloseTo(Math.log(tinySize.vocabulary), 1);
    expect(curve.slice(-10).reduce((sum, loss) => sum + loss / 10, 0)).toBeLessThan(0.7 * curve[0]!);
  });
});

function observedStep(trainer: Trainer): Instruments {
  return trainer.trainStep({ instruments: true }).instruments!;
}

describe("a restored trainer", () => {
  test("goes on with the same bits", () => {
    const trainer = trainerOf(tinyTraining("mhc"));
    steps(trainer, 3);
    const state = trainer.save();
    const expected = steps(trainer, 4);
    const other = trainerOf(tinyTraining("mhc"), runtimes[2]);
    other.restore(state);
    expect(other.step).toBe(3);
    expect(steps(other, 4)).toEqual(expected);
    expect(other.save()).toEqual(trainer.save());
  });
  test("what is viewed is what would be saved, until the next step", () => {
    const trainer = trainerOf(tinyTraining("mhc"));
    steps(trainer, 2);
    const [view, saved] = [trainer.view(), trainer.save()];
    expect(structuredClone(view)).toEqual(saved);
    steps(trainer, 1);
    expect(view.model.map(({ data }) => [...data])).toEqual(trainer.save().model.map(({ data }) => [...data]));
    expect(view.model).not.toEqual(saved.model);
  });
  test("what is saved is a copy, complete, with shapes", () => {
    const trainer = trainerOf(tinyTraining("hc"));
    const before = trainer.save();
    const kept = structuredClone(before);
    steps(trainer, 1);
    expect(before).toEqual(kept);
    expect(before.model.reduce((sum, { data }) => sum + data.length, 0)).toBe(trainer.parameterCount);
    expect(before.optimizer.map(({ name }) => name).sort()).toEqual(
      before.model.flatMap(({ name }) => [`${name}.m`, `${name}.v`]).sort(),
    );
    for (const { shape, data } of [...before.model, ...before.optimizer])
      expect(data.length).toBe(shape.reduce((product, size) => product * size, 1));
  });
  test("refuses the checkpoint of another model, and says which tensor differs", () => {
    const trainer = trainerOf(tinyTraining("mhc"));
    const state = trainerOf(tinyTraining("residual")).save();
    expect(() => trainer.restore(state)).toThrow(
      /^The checkpoint's model file has no tensor "layers\.0\.attention\.connection\.phi"; it belongs to another model\.$/,
    );
    const narrow: TrainerState = trainerOf(tinyTraining("mhc", { model: { hidden: 8 } })).save();
    expect(() => trainer.restore(narrow)).toThrow(
      `The checkpoint's "layers.0.feedForward.gateUp" has shape [16, 16], the model needs [16, 48].`,
    );
  });
});

describe("gains", () => {
  test.each([1, 3])("of mHC forward are 1, with %i microbatches", (accumulate) => {
    const trainer = trainerOf(tinyTraining("mhc", { accumulate }));
    steps(trainer, 5);
    const { single, composite } = observedStep(trainer);
    expect(single!.forward).toHaveLength(2 * tinySize.layers);
    for (const value of [...single!.forward, ...composite!.forward]) expect(value).toBeCloseTo(1, 5);
    for (const value of [...single!.backward, ...composite!.backward]) expect(value).toBeCloseTo(1, 2);
  });
  test("of HC are exactly 1 at first and leave 1", () => {
    const trainer = trainerOf(tinyTraining("hc", { optimizer: { learningRate: 2e-2 } }));
    const first = observedStep(trainer);
    for (const value of [first.single!, first.composite!].flatMap(({ forward, backward }) => [...forward, ...backward]))
      expect(value).toBe(1);
    steps(trainer, 9);
    const last = observedStep(trainer).composite!;
    expect(Math.max(...last.forward.map((value) => Math.abs(value - 1)))).toBeGreaterThan(0.01);
  });
});

describe("evaluation and text", () => {
  test("an evaluation changes nothing, and bits per byte follow from nats per token", () => {
    const [trainer, undisturbed] = [trainerOf(tinyTraining("mhc")), trainerOf(tinyTraining("mhc"))];
    const start = trainer.evaluate();
    expect(start.loss).toBeCloseTo(Math.log(tinySize.vocabulary), 1);
    // Every token stands for two bytes.
    expect(start.bitsPerByte).toBeCloseTo(start.loss / Math.LN2 / 2, 12);
    steps(trainer, 3);
    expect(trainer.evaluate()).toEqual(trainer.evaluate());
    steps(undisturbed, 3);
    expect(steps(trainer, 2)).toEqual(steps(undisturbed, 2));
  });
  test("the same numbers write the same text; temperature 0 needs none", () => {
    const trainer = trainerOf(tinyTraining("mhc", { steps: 60, optimizer: { learningRate: 1e-2 } }));
    steps(trainer, 60);
    const write = (seed: number, temperature = 1): number[] => [
      ...trainer.generate([3, 1], {
        temperature,
        maxTokens: 30,
        random: (index) => ((index + 1) * seed * 0.618034) % 1,
      }),
    ];
    expect(write(1)).toEqual(write(1));
    expect(write(1)).not.toEqual(write(2));
    expect(write(1, 0)).toEqual(write(2, 0));
    expect(write(1)).toHaveLength(30);
    expect(write(1).every((token) => token >= 0 && token < tinySize.vocabulary)).toBe(true);
  });
  test("a prompt longer than the window, a stop token, and options that make no sense", () => {
    const trainer = trainerOf(tinyTraining("residual"));
    const options = { temperature: 0, maxTokens: 5, random: () => 0 };
    const long = Array.from({ length: 40 }, (_, i) => i % tinySize.vocabulary);
    // Only the last window of tokens is seen.
    expect([...trainer.generate(long, options)]).toEqual([...trainer.generate(long.slice(-tinySize.context), options)]);
    const [first] = trainer.generate([1], options);
    expect([...trainer.generate([1], { ...options, stopToken: first })]).toEqual([]);
    expect(() => [...trainer.generate([], options)]).toThrow("generate: the prompt has no tokens");
    expect(() => [...trainer.generate([1], { ...options, temperature: -1 })]).toThrow(
      "generate: the temperature must be 0 or more, got -1.",
    );
    expect(() => [...trainer.generate([1], { ...options, topK: 0 })]).toThrow(
      "generate: topK must be a whole number of at least 1, got 0.",
    );
  });
});

describe("a step that is not finite", () => {
  test.each([1, 2])("changes nothing and its first bad tensor is found, with %i microbatches", (accumulate) => {
    const trainer = trainerOf(tinyTraining("mhc", { accumulate }));
    steps(trainer, 2);
    const good = trainer.save();
    const poisoned: TrainerState = {
      ...good,
      model: good.model.map((tensor) =>
        tensor.name === "layers.1.feedForward.down" ? { ...tensor, data: tensor.data.with(7, Number.NaN) } : tensor,
      ),
    };
    trainer.restore(poisoned);
    const { step, loss, gradientNorm } = trainer.trainStep();
    expect([step, loss, gradientNorm]).toEqual([3, Number.NaN, Number.NaN]);
    expect(trainer.step).toBe(2);
    expect(trainer.save()).toEqual(poisoned);
    expect(trainer.findNotFinite()).toBe("layers.1.feedForward:matmul");
    expect(trainer.save()).toEqual(poisoned);
    // Nothing of it stays behind: with the good weights the run goes on as if it had not been.
    trainer.restore(good);
    const expected = trainerOf(tinyTraining("mhc", { accumulate }));
    steps(expected, 2);
    expect(steps(trainer, 2)).toEqual(steps(expected, 2));
  });
  test("an infinite gradient counts too", () => {
    const trainer = trainerOf(tinyTraining("residual"));
    const good = trainer.save();
    const huge: TrainerState = {
      ...good,
      model: good.model.map((tensor) =>
        tensor.name === "head" ? { ...tensor, data: tensor.data.map((value) => value * 1e38) } : tensor,
      ),
    };
    trainer.restore(huge);
    expect(Number.isFinite(trainer.trainStep().gradientNorm)).toBe(false);
    expect(trainer.save()).toEqual(huge);
  });
});

test("a released trainer refuses everything rather than working with zeros", () => {
  const trainer = trainerOf(tinyTraining("mhc"));
  steps(trainer, 1);
  const saved = trainer.save();
  trainer.release();
  const refused = "This trainer has been released; make another, or read its checkpoint.";
  for (const use of [
    () => trainer.trainStep(),
    () => trainer.evaluate(),
    () => trainer.save(),
    () => trainer.view(),
    () => trainer.restore(saved),
    () => trainer.findNotFinite(),
    () => [...trainer.generate([1], { temperature: 0, maxTokens: 1, random: () => 0 })],
  ])
    expect(use).toThrow(refused);
});
