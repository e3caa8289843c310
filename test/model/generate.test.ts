// Texts that are written token by token: what they are, whatever the window, the batch and the threads.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { createGenerator, type Generator, type WrittenToken } from "../../src/model/generate.ts";
import { type LanguageModel } from "../../src/model/language-model.ts";
import { logProbability } from "../../src/model/sampling.ts";
import type { SynchronousProgram, SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { modelOn, tinyConfig } from "./tiny.ts";
import { collect, oneByOne } from "../collect.ts";

const AWAY = { seed: 8, noise: 0.3 };
let runtime: SynchronousRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 2 })));
afterAll(() => runtime.close());

const golden = (index: number, prompt = 0): number => ((index + 1) * 0.618034 + 0.377 * prompt) % 1;

/** Scores after the last token of a window, by reading it at once. */
function createWholeReader(model: LanguageModel): (window: readonly number[]) => number[] {
  const programs = new Map<number, { tokens: Tensor; program: SynchronousProgram<{ readonly logits: Tensor }> }>();
  return (window) => {
    let found = programs.get(window.length);
    if (!found) {
      const tokens = input("tokens", [1, window.length], "i32");
      const program = runtime.compile({ outputs: { logits: model.logits(model.hidden(tokens).hidden_NC) } });
      programs.set(window.length, (found = { tokens, program }));
    }
    runtime.write(found.tokens, window);
    found.program.run();
    return [...found.program.readNow("logits")].slice(-model.config.vocabulary);
  };
}

/** Where the window begins when the token at `index` is read: it slides by half when it is full. */
function windowStart(index: number, promptLength: number, size: number): number {
  let start = Math.max(0, promptLength - size);
  while (index - start >= size) start += Math.ceil(size / 2);
  return start;
}

describe("the window", () => {
  test.each([
    ["even", 8, 3],
    ["odd", 7, 2],
    ["a prompt past its middle", 8, 6],
    ["a prompt that fills it", 6, 6],
    ["a prompt longer than it", 6, 15],
    ["of one token", 1, 1],
    ["of two tokens", 2, 3],
  ])("slides by half, as if its text were a prompt: %s", async (_name, size, promptLength) => {
    const config = tinyConfig("mhc", { context: size });
    const model = modelOn(runtime, config, AWAY);
    const prompt = Array.from({ length: promptLength }, (_, i) => (5 * i + 2) % config.vocabulary);
    const written = await collect(
      createGenerator(runtime, model).generateBatch([prompt], { maxTokens: 30, temperature: 1, random: golden }),
    );
    expect(written).toHaveLength(30);
    const text = [...prompt, ...written.map(({ token }) => token)];
    const whole = createWholeReader(model);
    for (const [index, { token, logProbability: found }] of written.entries()) {
      const last = promptLength + index - 1;
      const window = text.slice(windowStart(last, promptLength, size), last + 1);
      expect(found).toBeCloseTo(logProbability(whole(window), token), 4);
    }
  });
});

describe("batches", () => {
  const prompts = [[1], [2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 12]];
  const byPrompt = async (written: AsyncIterable<WrittenToken>): Promise<number[][]> => {
    const texts: number[][] = prompts.map(() => []);
    for await (const { prompt, token } of written) texts[prompt]!.push(token);
    return texts;
  };
  let generator: Generator;
  beforeAll(() => void (generator = createGenerator(runtime, modelOn(runtime, tinyConfig("hc"), AWAY))));

  test("each text is what it would be alone", async () => {
    const options = { maxTokens: 20, temperature: 0.9, topP: 0.95, repetitionPenalty: 1.1, random: golden };
    const together = await byPrompt(generator.generateBatch(prompts, options));
    for (const [index, prompt] of prompts.entries())
      expect(await collect(generator.generate(prompt, { ...options, random: (i) => golden(i, index) }))).toEqual(
        together[index],
      );
  });

  test("texts that are written in turns do not disturb each other", async () => {
    const options = { maxTokens: 12, random: golden };
    const expected = await oneByOne(prompts, (prompt) => collect(generator.generate(prompt, options)));
    const iterators = prompts.map((prompt) => generator.generate(prompt, options)[Symbol.asyncIterator]());
    const found = prompts.map((): number[] => []);
    for (let i = 0; i < 12; i++)
      for (const [index, iterator] of iterators.entries()) found[index]!.push((await iterator.next()).value as number);
    expect(found).toEqual(expected);
  });

  test("a text ends at its stop token, or when its reader says so; the others go on", async () => {
    const options = { maxTokens: 15, temperature: 0, random: golden };
    const free = await byPrompt(generator.generateBatch(prompts, options));
    const stopToken = free[1]![4]!;
    const stopped = await byPrompt(generator.generateBatch(prompts, { ...options, stopToken }));
    const until = (text: number[]): number[] => text.slice(0, [...text, stopToken].indexOf(stopToken));
    expect(stopped).toEqual(free.map(until));

    const ended = new Set<number>();
    const texts: number[][] = prompts.map(() => []);
    for await (const { prompt, token } of generator.generateBatch(prompts, { ...options, ended })) {
      texts[prompt]!.push(token);
      if (prompt === 1 && texts[1]!.length === 3) ended.add(1);
    }
    expect(texts).toEqual([free[0], free[1]!.slice(0, 3), free[2]]);
  });

  test("nothing to write, and what makes no sense", async () => {
    expect(await collect(generator.generateBatch([], { random: golden }))).toEqual([]);
    expect(await collect(generator.generate([1], { maxTokens: 0, random: golden }))).toEqual([]);
    await expect(collect(generator.generateBatch([[1], []], { random: golden }))).rejects.toThrow(
      "the prompt has no tokens",
    );
    await expect(collect(generator.generate([1], { maxTokens: -1, random: golden }))).rejects.toThrow(
      "generate: maxTokens must be a whole number of at least 0, got -1.",
    );
    await expect(collect(generator.generate([99], { random: golden }))).rejects.toThrow(
      "the token must be a whole number from 0",
    );
  });
});

test("the same numbers write the same text for any number of threads", async () => {
  const config = tinyConfig("mhc", { width: 48, hidden: 100, heads: 4, kvHeads: 2 });
  const texts: WrittenToken[][] = [];
  for (const threads of [1, 2, 3]) {
    const own = await createWasmRuntime({ threads });
    try {
      const generator = createGenerator(own, modelOn(own, config, AWAY));
      texts.push(
        await collect(generator.generateBatch([[1, 2], [3]], { maxTokens: 25, temperature: 1, random: golden })),
      );
    } finally {
      own.close();
    }
  }
  expect(texts[1]).toEqual(texts[0]);
  expect(texts[2]).toEqual(texts[0]);
});

test.each([1, 2, 3])("when its runtime is closed, a generator stops at once, on %i threads", async (threads) => {
  const own = await createWasmRuntime({ threads });
  const model = modelOn(own, tinyConfig("mhc"), AWAY);
  const [used, unused] = [createGenerator(own, model), createGenerator(own, model)];
  const options = { maxTokens: 20, temperature: 1, random: golden };
  const written: number[] = [];
  const before = performance.now();
  await expect(
    (async () => {
      for await (const token of used.generate([1, 2], options)) {
        written.push(token);
        if (written.length === 3) own.close();
      }
    })(),
  ).rejects.toThrow("the wasm runtime has been closed, and its memory with it; open another.");
  expect(written).toHaveLength(3);
  for (const generator of [used, unused]) {
    await expect(collect(generator.generate([1], options))).rejects.toThrow("has been closed");
    await expect(collect(generator.generateBatch([[1], [2]], options))).rejects.toThrow("has been closed");
    expect(() => generator.prepare([5], 3)).toThrow("has been closed");
    expect(() => generator.release()).not.toThrow();
  }
  expect(performance.now() - before).toBeLessThan(1000);
});
