// A trainer's steps: bits, accumulation, restoring, gains, evaluation, text, and steps that go wrong.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ConnectionKind, connectionKinds } from "../../src/connections/table.ts";
import type { ValidationBatch } from "../../src/data/batches.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import type { Instruments } from "../../src/stability/instruments.ts";
import { silentAlarms } from "../../src/training/alarms.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import type { TrainerState } from "../../src/training/state.ts";
import { createTrainer, type Trainer } from "../../src/training/trainer.ts";
import { relativeError } from "../ops/harness.ts";
import { tinyBatches, tinySize, tinyTraining } from "./tiny.ts";
import { collect, oneByOne } from "../collect.ts";

const runtimes: WasmRuntime[] = [];
let runtime: WasmRuntime;
beforeAll(async () => {
  for (const threads of [1, 2, 3]) runtimes.push(await createWasmRuntime({ threads }));
  runtime = runtimes[1]!;
});
afterAll(() => runtimes.forEach((open) => open.close()));

const trainerOf = (config: TrainingConfig, on: WasmRuntime = runtime): Trainer =>
  createTrainer(on, config, tinyBatches(config));
const steps = (trainer: Trainer, count: number): Promise<{ loss: number; gradientNorm: number }[]> =>
  oneByOne(Array(count).keys(), async () => {
    const { loss, gradientNorm } = await trainer.trainStep();
    return { loss, gradientNorm };
  });

describe.each(connectionKinds)("%s", (kind: ConnectionKind) => {
  test("the same bits on 1, 2 and 3 threads and from run to run", async () => {
    const results = await oneByOne([...runtimes, runtime], async (on) => {
      const trainer = trainerOf(tinyTraining(kind), on);
      return {
        curve: await steps(trainer, 5),
        evaluation: await trainer.evaluate(),
        instruments: (await trainer.trainStep({ instruments: true })).instruments,
        state: await trainer.save(),
      };
    });
    for (const result of results.slice(1)) expect(result).toEqual(results[0]);
    expect(new Set(results[0]!.curve.map(({ loss }) => loss)).size).toBe(5);
  });
  test("two microbatches of 4 are one batch of 8", async () => {
    const whole = trainerOf(tinyTraining(kind, { batch: 8 }));
    const parts = trainerOf(tinyTraining(kind, { batch: 4, accumulate: 2 }));
    const [expected, actual] = [await steps(whole, 8), await steps(parts, 8)];
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
  test("the gain alarm is silent where no composite gain is measured", async () => {
    const config = tinyTraining(kind);
    const { instruments } = await trainerOf(config).trainStep({ instruments: true });
    expect(silentAlarms(config.model).includes("gain")).toBe(instruments?.composite === undefined);
  });
  test("it learns", async () => {
    const curve = (
      await steps(trainerOf(tinyTraining(kind, { steps: 150, optimizer: { learningRate: 1e-2 } })), 150)
    ).map(({ loss }) => loss);
    expect(curve[0]!).toBeCloseTo(Math.log(tinySize.vocabulary), 1);
    expect(curve.slice(-10).reduce((sum, loss) => sum + loss / 10, 0)).toBeLessThan(0.7 * curve[0]!);
  });
});

async function observedStep(trainer: Trainer): Promise<Instruments> {
  return (await trainer.trainStep({ instruments: true })).instruments!;
}

describe("a restored trainer", () => {
  test("goes on with the same bits", async () => {
    const trainer = trainerOf(tinyTraining("mhc"));
    await steps(trainer, 3);
    const state = await trainer.save();
    const expected = await steps(trainer, 4);
    const other = trainerOf(tinyTraining("mhc"), runtimes[2]);
    other.restore(state);
    expect(other.step).toBe(3);
    expect(await steps(other, 4)).toEqual(expected);
    expect(await other.save()).toEqual(await trainer.save());
  });
  test("what is viewed is what would be saved, until the next step", async () => {
    const trainer = trainerOf(tinyTraining("mhc"));
    await steps(trainer, 2);
    const [view, saved] = [await trainer.view(), await trainer.save()];
    expect(structuredClone(view)).toEqual(saved);
    await steps(trainer, 1);
    expect(view.model.map(({ data }) => [...data])).toEqual((await trainer.save()).model.map(({ data }) => [...data]));
    expect(view.model).not.toEqual(saved.model);
  });
  test("what is saved is a copy, complete, with shapes", async () => {
    const trainer = trainerOf(tinyTraining("hc"));
    const before = await trainer.save();
    const kept = structuredClone(before);
    await steps(trainer, 1);
    expect(before).toEqual(kept);
    expect(before.model.reduce((sum, { data }) => sum + data.length, 0)).toBe(trainer.parameterCount);
    expect(before.optimizer.map(({ name }) => name).sort()).toEqual(
      before.model.flatMap(({ name }) => [`${name}.m`, `${name}.v`]).sort(),
    );
    for (const { shape, data } of [...before.model, ...before.optimizer])
      expect(data.length).toBe(shape.reduce((product, size) => product * size, 1));
  });
  test("refuses the checkpoint of another model, and says which tensor differs", async () => {
    const trainer = trainerOf(tinyTraining("mhc"));
    const state = await trainerOf(tinyTraining("residual")).save();
    expect(() => trainer.restore(state)).toThrow(
      /^The checkpoint's model file has no tensor "layers\.0\.attention\.connection\.phi"; it belongs to another model\.$/,
    );
    const narrow: TrainerState = await trainerOf(tinyTraining("mhc", { model: { hidden: 8 } })).save();
    expect(() => trainer.restore(narrow)).toThrow(
      `The checkpoint's "layers.0.feedForward.gateUp" has shape [16, 16], the model needs [16, 48].`,
    );
  });
});

describe("gains", () => {
  test.each([1, 3])("of mHC forward are 1, with %i microbatches", async (accumulate) => {
    const trainer = trainerOf(tinyTraining("mhc", { accumulate }));
    await steps(trainer, 5);
    const { single, composite } = await observedStep(trainer);
    expect(single!.forward).toHaveLength(2 * tinySize.layers);
    for (const value of [...single!.forward, ...composite!.forward]) expect(value).toBeCloseTo(1, 5);
    for (const value of [...single!.backward, ...composite!.backward]) expect(value).toBeCloseTo(1, 2);
  });
  test("of HC are exactly 1 at first and leave 1", async () => {
    const trainer = trainerOf(tinyTraining("hc", { optimizer: { learningRate: 2e-2 } }));
    const first = await observedStep(trainer);
    for (const value of [first.single!, first.composite!].flatMap(({ forward, backward }) => [...forward, ...backward]))
      expect(value).toBe(1);
    await steps(trainer, 9);
    const last = (await observedStep(trainer)).composite!;
    expect(Math.max(...last.forward.map((value) => Math.abs(value - 1)))).toBeGreaterThan(0.01);
  });
});

describe("evaluation and text", () => {
  test("an evaluation changes nothing, and bits per byte follow from nats per token", async () => {
    const [trainer, undisturbed] = [trainerOf(tinyTraining("mhc")), trainerOf(tinyTraining("mhc"))];
    const start = await trainer.evaluate();
    expect(start.loss).toBeCloseTo(Math.log(tinySize.vocabulary), 1);
    // Every token stands for two bytes.
    expect(start.bitsPerByte).toBeCloseTo(start.loss / Math.LN2 / 2, 12);
    await steps(trainer, 3);
    expect(await trainer.evaluate()).toEqual(await trainer.evaluate());
    await steps(undisturbed, 3);
    expect(await steps(trainer, 2)).toEqual(await steps(undisturbed, 2));
  });
  test("the same numbers write the same text; temperature 0 needs none", async () => {
    const trainer = trainerOf(tinyTraining("mhc", { steps: 60, optimizer: { learningRate: 1e-2 } }));
    await steps(trainer, 60);
    const write = async (seed: number, temperature = 1): Promise<number[]> =>
      await collect(
        trainer.generate([3, 1], {
          temperature,
          maxTokens: 30,
          random: (index) => ((index + 1) * seed * 0.618034) % 1,
        }),
      );
    expect(await write(1)).toEqual(await write(1));
    expect(await write(1)).not.toEqual(await write(2));
    expect(await write(1, 0)).toEqual(await write(2, 0));
    expect(await write(1)).toHaveLength(30);
    expect((await write(1)).every((token) => token >= 0 && token < tinySize.vocabulary)).toBe(true);
  });
  test("a prompt longer than the window, a stop token, and options that make no sense", async () => {
    const trainer = trainerOf(tinyTraining("residual"));
    const options = { temperature: 0, maxTokens: 5, random: () => 0 };
    const long = Array.from({ length: 40 }, (_, i) => i % tinySize.vocabulary);
    // Only the last window of tokens is seen.
    expect(await collect(trainer.generate(long, options))).toEqual(
      await collect(trainer.generate(long.slice(-tinySize.context), options)),
    );
    const [first] = await collect(trainer.generate([1], options));
    expect(await collect(trainer.generate([1], { ...options, stopToken: first }))).toEqual([]);
    await expect(collect(trainer.generate([], options))).rejects.toThrow("generate: the prompt has no tokens");
    await expect(collect(trainer.generate([1], { ...options, temperature: -1 }))).rejects.toThrow(
      "generate: the temperature must be 0 or more, got -1.",
    );
    await expect(collect(trainer.generate([1], { ...options, topK: 0 }))).rejects.toThrow(
      "generate: topK must be a whole number of at least 1, got 0.",
    );
  });
});

describe("a step that is not finite", () => {
  test.each([1, 2])("changes nothing and its first bad tensor is found, with %i microbatches", async (accumulate) => {
    const trainer = trainerOf(tinyTraining("mhc", { accumulate }));
    await steps(trainer, 2);
    const good = await trainer.save();
    const poisoned: TrainerState = {
      ...good,
      model: good.model.map((tensor) =>
        tensor.name === "layers.1.feedForward.down" ? { ...tensor, data: tensor.data.with(7, Number.NaN) } : tensor,
      ),
    };
    trainer.restore(poisoned);
    const { step, loss, gradientNorm } = await trainer.trainStep();
    expect([step, loss, gradientNorm]).toEqual([3, Number.NaN, Number.NaN]);
    expect(trainer.step).toBe(2);
    expect(await trainer.save()).toEqual(poisoned);
    expect(await trainer.findNotFinite()).toBe("layers.1.feedForward:matmul");
    expect(await trainer.save()).toEqual(poisoned);
    // Nothing of it stays behind: with the good weights the run goes on as if it had not been.
    trainer.restore(good);
    const expected = trainerOf(tinyTraining("mhc", { accumulate }));
    await steps(expected, 2);
    expect(await steps(trainer, 2)).toEqual(await steps(expected, 2));
  });
  test("an infinite gradient counts too", async () => {
    const trainer = trainerOf(tinyTraining("residual"));
    const good = await trainer.save();
    const huge: TrainerState = {
      ...good,
      model: good.model.map((tensor) =>
        tensor.name === "head" ? { ...tensor, data: tensor.data.map((value) => value * 1e38) } : tensor,
      ),
    };
    trainer.restore(huge);
    expect(Number.isFinite((await trainer.trainStep()).gradientNorm)).toBe(false);
    expect(await trainer.save()).toEqual(huge);
  });
});

test("a released trainer refuses everything rather than working with zeros", async () => {
  const trainer = trainerOf(tinyTraining("mhc"));
  await steps(trainer, 1);
  const saved = await trainer.save();
  trainer.release();
  const refused =
    /^\w+: this trainer has been released and holds nothing any more; make another, or read its checkpoint\.$/;
  for (const use of [
    async () => await trainer.trainStep(),
    async () => await trainer.evaluate(),
    async () => await trainer.save(),
    async () => await trainer.view(),
    () => trainer.restore(saved),
    async () => await trainer.findNotFinite(),
    async () => await collect(trainer.generate([1], { temperature: 0, maxTokens: 1, random: () => 0 })),
  ])
    await expect(Promise.resolve().then(use)).rejects.toThrow(refused);
});

test("a step that is interrupted between microbatches is dropped, and done again it has the same bits", async () => {
  const config = tinyTraining("mhc", { accumulate: 3 });
  const [trainer, undisturbed] = [trainerOf(config), trainerOf(config)];
  await trainer.trainStep();
  const aborted = AbortSignal.abort(new Error("enough"));
  await expect(trainer.trainStep({ signal: aborted })).rejects.toThrow("enough");
  expect(trainer.step).toBe(1);
  await trainer.trainStep();
  await steps(undisturbed, 2);
  expect(await trainer.save()).toEqual(await undisturbed.save());
});

test("an interrupt is heard in the middle of a step of very many microbatches", async () => {
  const trainer = trainerOf(tinyTraining("residual", { accumulate: 2 ** 18 }));
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error("enough")), 20);
  const started = performance.now();
  await expect(trainer.trainStep({ signal: controller.signal })).rejects.toThrow("enough");
  expect(performance.now() - started).toBeLessThan(3000);
});

test("an interrupt ends a long evaluation, and a short one is finished", async () => {
  const [long, short] = [2 ** 20, 2].map((validationCount) => {
    const config = tinyTraining("residual");
    const batches = tinyBatches(config);
    const [first] = [...batches.validationBatches()];
    const many = function* (): Generator<ValidationBatch, void, undefined> {
      for (let index = 0; index < validationCount; index++) yield first!;
    };
    return createTrainer(runtime, config, { ...batches, validationCount, validationBatches: many });
  });
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(long!.evaluate({ signal })).rejects.toThrow("enough");
  expect((await short!.evaluate({ signal })).loss).toBeGreaterThan(0);
});

test("losses of more microbatches than are waited for at once are all in the mean", async () => {
  const [many, few] = [600, 2].map((accumulate) =>
    trainerOf(tinyTraining("residual", { accumulate, batch: 1200 / accumulate })),
  );
  expect((await many!.trainStep()).loss).toBeCloseTo((await few!.trainStep()).loss, 4);
});

test.each([1, 2, 3])("when its runtime is closed, everything is refused at once, on %i threads", async (threads) => {
  for (const compiled of [false, true]) {
    const on = await createWasmRuntime({ threads });
    const trainer = trainerOf(tinyTraining("mhc", { accumulate: 2 }), on);
    const saved = await trainer.save();
    const write = (): Promise<number[]> =>
      collect(trainer.generate([1], { temperature: 0, maxTokens: 2, random: () => 0 }));
    if (compiled) {
      await trainer.trainStep({ instruments: true });
      await trainer.evaluate();
      await write();
    }
    on.close();
    const before = performance.now();
    for (const use of [
      async () => await trainer.trainStep(),
      async () => await trainer.trainStep({ instruments: true }),
      async () => await trainer.evaluate(),
      async () => await trainer.save(),
      async () => await trainer.view(),
      () => trainer.restore(saved),
      async () => await trainer.findNotFinite(),
      write,
    ])
      await expect(Promise.resolve().then(use)).rejects.toThrow(
        /^\w+: the wasm runtime has been closed, and its memory with it; open another\.$/,
      );
    expect(performance.now() - before).toBeLessThan(1000);
    expect(trainer.step).toBe(compiled ? 1 : 0);
    expect(() => trainer.release()).not.toThrow();
  }
});
