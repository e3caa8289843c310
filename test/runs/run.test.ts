// Runs on disk: resuming gives the same bytes, and a run that goes wrong keeps what was good.

import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PreparedData } from "../../src/data/prepared-files.ts";
import { prepareData } from "../../src/data/prepare.ts";
import { type ConnectionKind, connectionKinds } from "../../src/connections/table.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { listCheckpoints } from "../../src/runs/checkpoint.ts";
import type { TrainingConfig } from "../../src/training/config.ts";
import { given } from "../../src/basics/given.ts";
import { readSamples } from "../../src/runs/samples.ts";
import { memoryTokens } from "../../src/data/tokens.ts";
import { samplePrompt, writeSample } from "../../src/runs/write-sample.ts";
import { readGains, readMetrics } from "../../src/runs/run-folder.ts";
import { openRun, type Run, type RunOptions } from "../../src/runs/run.ts";
import { DivergenceError } from "../../src/training/reactions.ts";
import { hashOf, losses, makeWorkplace } from "../e2e/cli.ts";
import { type Changes, tinyTraining } from "../training/tiny.ts";
import { oneByOne } from "../collect.ts";

const place = makeWorkplace();
let runtime: WasmRuntime;
let data: PreparedData;
beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 2 });
  data = await prepareData({ source: place.at("text.txt"), vocabularySize: 270, cacheFolder: place.at("cache") });
});
afterAll(() => {
  data.close();
  runtime.close();
  place.remove();
});

function configOf(kind: ConnectionKind, { model, ...changes }: Changes = {}): TrainingConfig {
  return tinyTraining(kind, { ...changes, model: { ...model, vocabulary: data.tokenizer.vocabularySize } });
}
const open = async (config: TrainingConfig, folder: string, options?: RunOptions): Promise<Run> =>
  await openRun(runtime, config, data, place.at(folder), options);

/** Advance a run until a step, or to its end. */
async function advance(run: Run, until = Number.POSITIVE_INFINITY): Promise<void> {
  while (!run.finished && run.trainer.step < until) await run.advance();
}

async function errorOf(action: () => unknown): Promise<Error> {
  try {
    await action();
  } catch (error) {
    return error as Error;
  }
  throw new Error("There was no error.");
}

describe.each(connectionKinds)("%s", (kind) => {
  test("a run resumed from step 8 ends with the bytes of an undisturbed one", async () => {
    const undisturbed = await open(configOf(kind), `${kind}-undisturbed`);
    await advance(undisturbed);
    undisturbed.close();
    const first = await open(configOf(kind), `${kind}-resumed`);
    await advance(first, 10);
    first.close();
    const second = await open(configOf(kind), `${kind}-resumed`, { existing: "resume" });
    expect(second.trainer.step).toBe(8);
    expect(second.metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    await advance(second);
    second.close();

    const [expected, actual] = ["undisturbed", "resumed"].map((name) => place.at(`${kind}-${name}`));
    expect(listCheckpoints(actual!).map(({ step }) => step)).toEqual([8, 12]);
    for (const file of ["model", "optimizer"]) {
      const [one, other] = [expected, actual].map((folder) =>
        hashOf(path.join(folder!, "checkpoints", "step-12", `${file}.safetensors`)),
      );
      expect(other).toBe(one);
    }
    expect(losses(actual!)).toEqual(losses(expected!));
    expect(losses(actual!)).toHaveLength(12);
    expect(readGains(actual!)).toEqual(readGains(expected!));
    const seen = readGains(actual!);
    expect(seen.map(({ step }) => step)).toEqual([4, 8, 12]);
    for (const { activation, blockOutput, gradient } of seen)
      for (const values of [activation!, blockOutput!, gradient!]) {
        expect(values).toHaveLength(4);
        for (const value of values) expect(value).toBeGreaterThan(0);
      }
    const mixes = kind === "hc" || kind === "mhc";
    expect(seen.every(({ single }) => (single !== undefined) === mixes)).toBe(true);
  });
});

test.each([8, 12])(
  "an evaluation that is interrupted at step %i is made when the run goes on, and nothing is told",
  async (at) => {
    const config = configOf("mhc", { evaluateEvery: 4 });
    const whole = await open(config, `evaluated-${at}`);
    await advance(whole);
    whole.close();

    const folder = `not-evaluated-${at}`;
    const first = await open(config, folder);
    await advance(first, at - 1);
    const controller = new AbortController();
    // As the trainer does where much of the evaluation is left.
    Object.assign(first.trainer, {
      evaluate: () => (controller.abort(), Promise.reject(controller.signal.reason as Error)),
    });
    expect(await first.advance(controller.signal)).not.toHaveProperty("validationLoss");
    expect([first.trainer.step, first.finished]).toEqual([at, false]);
    await first.checkpoint();
    first.close();

    const warnings: string[] = [];
    for (const interrupted of [true, false]) {
      const run = await open(config, folder, { existing: "resume", onWarning: (warning) => warnings.push(warning) });
      if (interrupted) {
        Object.assign(run.trainer, { evaluate: () => Promise.reject(controller.signal.reason as Error) });
        await expect(run.advance(controller.signal)).rejects.toBe(controller.signal.reason);
      } else {
        expect(await run.advance()).toMatchObject({ step: at, validationLoss: expect.any(Number) as number });
        expect(run.trainer.step).toBe(at);
      }
      run.close();
    }
    const last = await open(config, folder, { existing: "resume", onWarning: (warning) => warnings.push(warning) });
    await advance(last);
    expect(last.finished).toBe(true);
    last.close();
    expect(warnings).toEqual([]);
    const evaluations = (name: string): unknown =>
      readMetrics(place.at(name)).map(({ step, loss, validationLoss, bitsPerByte }) => [
        step,
        loss,
        validationLoss,
        bitsPerByte,
      ]);
    expect(evaluations(folder)).toEqual(evaluations(`evaluated-${at}`));
  },
);

test.each(["mhc", "residual"] as const)("%s: how often the instruments are read changes no bit", async (kind) => {
  const folders = await oneByOne([1, 1000], async (gainsEvery) => {
    const folder = `${kind}-every-${gainsEvery}`;
    const run = await open(configOf(kind, { gainsEvery }), folder);
    await advance(run);
    run.close();
    return place.at(folder);
  });
  const [often, once] = folders as [string, string];
  expect(readGains(often)).toHaveLength(12);
  expect(readGains(once)).toEqual(readGains(often).slice(-1));
  expect(losses(often)).toEqual(losses(once));
  for (const file of ["model", "optimizer"]) {
    const [one, other] = folders.map((folder) =>
      hashOf(path.join(folder, "checkpoints", "step-12", `${file}.safetensors`)),
    );
    expect(one).toBe(other);
  }
});

test.each(["mhc", "residual"] as const)("%s: what it writes while it trains changes no bit", async (kind) => {
  const folders = await oneByOne([undefined, 5], async (sampleEvery) => {
    const folder = `${kind}-writes-${sampleEvery}`;
    const run = await open(configOf(kind, { accumulate: 2, ...given({ sampleEvery }) }), folder);
    await advance(run);
    run.close();
    return place.at(folder);
  });
  const [silent, writing] = folders as [string, string];
  const headings = (folder: string): string[] => readSamples(folder).map((sample) => sample.split(",")[0]!);
  expect(headings(silent)).toEqual([]);
  expect(headings(writing)).toEqual(["step 5", "step 10", "step 12"]);
  expect(new Set(readSamples(writing).map((sample) => sample.split("\n").slice(1).join("\n"))).size).toBe(3);
  expect(losses(writing)).toEqual(losses(silent));
  expect(readMetrics(writing).map(({ gradientNorm, validationLoss }) => [gradientNorm, validationLoss])).toEqual(
    readMetrics(silent).map(({ gradientNorm, validationLoss }) => [gradientNorm, validationLoss]),
  );
  expect(readGains(writing)).toEqual(readGains(silent));
  for (const file of ["model", "optimizer"]) {
    const [one, other] = folders.map((folder) =>
      hashOf(path.join(folder, "checkpoints", "step-12", `${file}.safetensors`)),
    );
    expect(one).toBe(other);
  }
});

test("a text that is interrupted is not kept, and one that is written again is kept once", async () => {
  const run = await open(configOf("residual", { steps: 3 }), "interrupted-text");
  await run.advance();
  const { tokenizer } = data;
  expect(await writeSample(run, tokenizer, "We", AbortSignal.abort())).toBeUndefined();
  expect(readSamples(place.at("interrupted-text"))).toEqual([]);
  const once = await writeSample(run, tokenizer, "We");
  expect(await writeSample(run, tokenizer, "We")).toEqual(once);
  run.close();
  expect(readSamples(place.at("interrupted-text"))).toHaveLength(1);
});

test.each([
  ["of the states must keep peace and grow", "the states must keep peace"],
  ["  And so it is.\nNext", "And so it is."],
  ["\n\n    def add(a, b):\n        return a", "def add(a, b):"],
  ["One", "One"],
  ["", "AB"],
  [" ", "The"],
])("a run's samples go on from %j by %j", (text, prompt) => {
  const ids = Array.from(text, (character) => character.codePointAt(0)!);
  const tokenizer = { endOfText: 0, decode: (list: Iterable<number>) => String.fromCodePoint(...list) };
  const validation = memoryTokens([...ids, 0, 65, 66], 1000, ids.length);
  const prepared = { tokenizer, validation } as unknown as Parameters<typeof samplePrompt>[0];
  expect(samplePrompt(prepared)).toBe(prompt);
});

describe("records", () => {
  test("evaluations come at their interval and at the end, seconds add up", async () => {
    const run = await open(configOf("residual", { steps: 10 }), "records");
    await advance(run);
    run.close();
    const metrics = readMetrics(place.at("records"));
    expect(metrics).toEqual(run.metrics);
    expect(metrics.filter(({ bitsPerByte }) => bitsPerByte !== undefined).map(({ step }) => step)).toEqual([4, 8, 10]);
    expect(metrics.every(({ seconds }, index) => index === 0 || seconds > metrics[index - 1]!.seconds)).toBe(true);
    expect(metrics[1]!.learningRate).toBeCloseTo((5e-3 * 2) / 3, 12);
    expect(fs.existsSync(place.at("records", "tokenizer.json"))).toBe(true);
  });
  test("a checkpoint that is there already is not written again", async () => {
    const run = await open(configOf("residual"), "twice");
    await advance(run, 4);
    const file = place.at("twice", "checkpoints", "step-4", "state.json");
    const { ino } = fs.statSync(file);
    await run.checkpoint();
    expect(fs.statSync(file).ino).toBe(ino);
    await run.advance();
    await run.checkpoint();
    run.close();
    expect(listCheckpoints(place.at("twice")).map(({ step }) => step)).toEqual([4, 5]);
  });
});

describe("a run that goes wrong", () => {
  async function poison(run: Run, name: string, value: number): Promise<void> {
    const state = await run.trainer.save();
    run.trainer.restore({
      ...state,
      model: state.model.map((tensor) =>
        tensor.name === name ? { ...tensor, data: tensor.data.with(3, value) } : tensor,
      ),
    });
  }

  test("stops with the step, the first tensor and the last good checkpoint, and applies nothing", async () => {
    const run = await open(configOf("mhc"), "poisoned");
    await advance(run, 6);
    await poison(run, "layers.0.attention.qkv", Number.NaN);
    const before = await run.trainer.save();
    const error = await errorOf(async () => await run.advance());
    expect(error).toBeInstanceOf(DivergenceError);
    expect(error.message).toBe(
      "tiny: the loss of step 7 is not finite; the first tensor that went wrong is layers.0.attention:matmul. The step was not applied. " +
        `The last good checkpoint is step 4 in ${place.at("poisoned", "checkpoints", "step-4")}. Lower the learning rate or the clipping norm.`,
    );
    expect(await run.trainer.save()).toEqual(before);
    expect(readMetrics(place.at("poisoned"))).toHaveLength(6);
    expect((await errorOf(async () => await run.checkpoint())).message).toMatch(
      /^tiny: step 6 made layers\.0\.attention\.qkv not finite, so it is not saved\. The last good checkpoint is step 4/,
    );
    run.close();
    const resumed = await open(configOf("mhc"), "poisoned", { existing: "resume" });
    expect(resumed.trainer.step).toBe(4);
    await advance(resumed);
    resumed.close();
    const undisturbed = await open(configOf("mhc"), "healthy");
    await advance(undisturbed);
    undisturbed.close();
    const [actual, expected] = ["poisoned", "healthy"].map((name) =>
      hashOf(place.at(name, "checkpoints", "step-12", "model.safetensors")),
    );
    expect(actual).toBe(expected);
  });
  test("before the first checkpoint there is none to go back to", async () => {
    const run = await open(configOf("residual"), "early");
    await poison(run, "norm", Number.POSITIVE_INFINITY);
    expect((await errorOf(async () => await run.advance())).message).toContain("There is no checkpoint yet.");
    run.close();
  });
  test("a learning rate of a million ends the run, and the checkpoint from before its harm stays", async () => {
    const run = await open(configOf("hc", { steps: 200, keepCheckpoints: 1, optimizer: { warmup: 0 } }), "rate");
    await advance(run, 4);
    const { optimizer } = run.config as { optimizer: { learningRate: number } };
    optimizer.learningRate = 1e6;
    const error = await errorOf(async () => await advance(run));
    run.close();
    expect(error).toBeInstanceOf(DivergenceError);
    expect(error.message).toMatch(
      /^tiny: (the (loss|gradient) of step \d+ is not finite; the first tensor that went wrong is \S+\.|the run diverges: at step \d+ the loss )/,
    );
    expect(error.message).toContain(
      `The last good checkpoint is step 4 in ${place.at("rate", "checkpoints", "step-4")}.`,
    );
    expect(listCheckpoints(place.at("rate")).map(({ step }) => step)).toEqual([4]);
  });
  test("a loss far above chance for twenty steps is a divergence", async () => {
    const run = await open(
      configOf("residual", { steps: 100, optimizer: { learningRate: 3, warmup: 0, weightDecay: 0, clip: 1e9 } }),
      "high",
    );
    const error = await errorOf(async () => await advance(run));
    run.close();
    expect(error).toBeInstanceOf(DivergenceError);
    expect(error.message).toMatch(
      /^tiny: the run diverges: at step \d+ the loss \(\d+\.\d\d\) has been more than 2 nats above chance \(\d\.\d\d\) for 20 steps\. .*Lower the learning rate\.$/,
    );
  });
});

test("a step that reads the text over and over is warned of", async () => {
  const warnings: string[] = [];
  const onWarning = (message: string): void => void warnings.push(message);
  (await open(configOf("residual", { accumulate: 2 ** 16 }), "over-and-over", { onWarning })).close();
  (await open(configOf("residual", { accumulate: 2 }), "once", { onWarning })).close();
  expect(warnings).toEqual([
    expect.stringMatching(/each step reads 262144 sequences of 12 tokens, \d+ times the training text of/),
  ]);
});
