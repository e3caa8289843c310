// Questions that a trained model answers: right is what greedy generation writes, and the loss is that of the answers.

import { afterAll, beforeAll, expect, test } from "vitest";
import { createGeneratedBatches } from "../../src/data/generated/batches.ts";
import { answerOf, examplesOf, promptOf } from "../../src/data/generated/examples.ts";
import { sampleDocuments } from "../../src/data/generated/sample.ts";
import { parseTasks } from "../../src/data/generated/table.ts";
import { type Tokenizer, trainTokenizer } from "../../src/data/tokenizer.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { measureReasoning } from "../../src/study/reasoning.ts";
import { createTrainer, type Trainer } from "../../src/training/trainer.ts";
import { tinyTraining } from "../training/tiny.ts";

const tasks = "bbh_boolean_expressions:2-3";
let runtime: WasmRuntime;
let tokenizer: Tokenizer;
let trainer: Trainer;
beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 1 });
  const texts = sampleDocuments(tasks).map(({ text }) => text);
  tokenizer = trainTokenizer(texts.slice(0, 200), { vocabularySize: 290 });
  const config = tinyTraining("mhc", {
    data: { source: `generated:${tasks}`, vocabulary: 290, splitSeed: 0, loss: "answers" },
    model: { vocabulary: tokenizer.vocabularySize, context: 48 },
    optimizer: { learningRate: 1e-2 },
  });
  const batches = createGeneratedBatches({
    tasks: parseTasks(tasks),
    tokenizer,
    batchSize: config.batch,
    contextLength: 48,
    seed: 1,
  });
  trainer = createTrainer(runtime, config, batches);
  for (let step = 0; step < 60; step++) await trainer.trainStep();
});
afterAll(() => runtime.close());

/** What the model writes after a question, at a temperature of nearly 0. */
async function written(question: string): Promise<string> {
  const ids: number[] = [];
  const options = { temperature: 0, maxTokens: 4, stopToken: tokenizer.endOfText, random: () => 0 };
  for await (const id of trainer.generate([...tokenizer.encode(promptOf({ question }))], options)) ids.push(id);
  return tokenizer.decode(ids);
}

test("what counts as right is what the model writes", async () => {
  const { step, rows } = (await measureReasoning(runtime, trainer.config, await trainer.save(), tokenizer, {
    tasks,
    questions: 30,
  }))!;
  expect(step).toBe(60);
  expect(rows.map(({ task, difficulty }) => [task, difficulty])).toEqual([
    ["bbh_boolean_expressions", 2],
    ["bbh_boolean_expressions", 3],
  ]);
  for (const { difficulty, questions, right, loss } of rows) {
    const asked = examplesOf("bbh_boolean_expressions", difficulty, 30);
    const answers: boolean[] = [];
    for (const example of asked) answers.push((await written(example.question)) === answerOf(example));
    expect([questions, right]).toEqual([asked.length, answers.filter(Boolean).length]);
    // It has learned that an answer is True or False and then ends, which leaves about half of ln 2 a token.
    expect(right).toBeGreaterThan(0);
    expect(loss).toBeGreaterThan(0);
    expect(loss).toBeLessThan(0.6);
  }
});

test("a signal is heard between runs of the model, and ends it", async () => {
  const stop = new AbortController();
  setImmediate(() => stop.abort());
  const shares: number[] = [];
  const found = await measureReasoning(runtime, trainer.config, await trainer.save(), tokenizer, {
    tasks,
    onProgress: (share) => void shares.push(share),
    signal: stop.signal,
  });
  expect(found).toBeUndefined();
  expect(shares.at(-1)).toBeLessThan(1);
});

test("a question that is longer than the context is refused", async () => {
  const state = await trainer.save();
  await expect(
    measureReasoning(runtime, trainer.config, state, tokenizer, { tasks: "bbh_web_of_lies:7", questions: 2 }),
  ).rejects.toThrow(
    /bbh_web_of_lies: a question of difficulty 7 has \d+ tokens with its answer, and the model's context is 48/,
  );
});
