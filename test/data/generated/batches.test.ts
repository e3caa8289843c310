// Batches of generated examples: whole examples, weights on answers alone, the same for the same step, and a loss that
// counts what the weights say.

import { afterAll, beforeAll, expect, test } from "vitest";
import { createGeneratedBatches } from "../../../src/data/generated/batches.ts";
import { exampleAt } from "../../../src/data/generated/examples.ts";
import { sampleDocuments } from "../../../src/data/generated/sample.ts";
import { generatedTasks, parseTasks } from "../../../src/data/generated/table.ts";
import { type Tokenizer, trainTokenizer } from "../../../src/data/tokenizer.ts";
import { defaultConnection } from "../../../src/connections/table.ts";
import { createParameters } from "../../../src/graph/parameters.ts";
import { languageModel } from "../../../src/model/language-model.ts";
import { crossEntropy } from "../../../src/ops/cross-entropy.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import type { SynchronousRuntime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import { batchInputs, writeBatch } from "../../../src/training/inputs.ts";
import { initialise } from "../../../src/training/initialise.ts";

const [B, T] = [3, 128];
const tasks = parseTasks("khop:1-2,recall:2-6");
let tokenizer: Tokenizer;
let runtime: SynchronousRuntime;
beforeAll(async () => {
  const texts = sampleDocuments("khop:1-2,recall:2-6").map(({ text }) => text);
  tokenizer = trainTokenizer(texts.slice(0, 300), { vocabularySize: 300 });
  runtime = await createWasmRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const batchesOf = (seed = 1, validationLimit = 2) =>
  createGeneratedBatches({ tasks, tokenizer, batchSize: B, contextLength: T, seed, validationLimit });

test("a batch belongs to its seed, step and microbatch", () => {
  const { trainingBatch } = batchesOf();
  expect(trainingBatch(5, 1)).toEqual(batchesOf().trainingBatch(5, 1));
  expect(trainingBatch(5, 1)).not.toEqual(trainingBatch(5, 0));
  expect(trainingBatch(5)).not.toEqual(trainingBatch(6));
  expect(trainingBatch(5)).not.toEqual(batchesOf(2).trainingBatch(5));
});

test("microbatches are the rows of one larger batch", () => {
  const whole = createGeneratedBatches({ tasks, tokenizer, batchSize: 2 * B, contextLength: T, seed: 1 });
  const [first, second] = [batchesOf().trainingBatch(3, 0), batchesOf().trainingBatch(3, 1)];
  expect([...first.tokens, ...second.tokens]).toEqual([...whole.trainingBatch(3).tokens]);
});

test("the tokens with weight are the answers and the ends of texts after them", () => {
  const { tokens, targets, weights } = batchesOf().trainingBatch(0);
  for (let row = 0; row < B; row++) {
    const at = (index: number): number => row * T + index;
    const text = tokenizer.decode([tokens[at(0)]!, ...targets.subarray(at(0), at(T))]);
    const examples = text.split("<|endoftext|>").filter((part) => part !== "");
    expect(examples.length).toBeGreaterThan(1);
    const counted = Array.from({ length: T }, (_, index) => at(index)).filter((index) => weights![index]! > 0);
    const answers = examples.map((example) => {
      const [, question, answer] = /^Q: (.*)\nA: (.*)$/.exec(example)!;
      const task = question!.includes("hops") ? "khop" : "recall";
      expect(generatedTasks[task]!.solve(question!)).toBe(answer);
      return ` ${answer}<|endoftext|>`;
    });
    expect(tokenizer.decode(counted.map((index) => targets[index]!))).toBe(answers.join(""));
  }
  const mean = weights!.reduce((sum, weight) => sum + weight, 0) / weights!.length;
  expect(mean).toBeCloseTo(1, 5);
});

test("validation asks the same for every seed, and counts its bytes by the answers", () => {
  const [one, other] = [[...batchesOf(1).validationBatches()], [...batchesOf(2).validationBatches()]];
  expect(one).toEqual(other);
  expect(one).toHaveLength(2);
  for (const { weights, targets, counted, bytes } of one) {
    const answered = [...targets].filter((_, index) => weights![index]! > 0);
    expect(counted).toBe(answered.length);
    expect(bytes).toBe(answered.reduce((sum, id) => sum + tokenizer.byteLengths[id]!, 0));
  }
});

test("an example that is longer than the context is refused with what to do", () => {
  const batches = createGeneratedBatches({ tasks, tokenizer, batchSize: 1, contextLength: 8, seed: 1 });
  expect(() => batches.trainingBatch(0)).toThrow(
    /has \d+ tokens with its answer, and a context of 8 holds 9: use a larger/,
  );
});

test("a wrong option is refused", () => {
  expect(() => createGeneratedBatches({ tasks, tokenizer, batchSize: B, context: T, seed: 1 } as never)).toThrow(
    'there is no option "context"',
  );
});

test("the loss of a batch is the mean over the targets that count", async () => {
  const model = {
    vocabulary: tokenizer.vocabularySize,
    context: T,
    width: 16,
    layers: 1,
    heads: 2,
    kvHeads: 1,
    hidden: 24,
    ropeTheta: 10000,
    normEpsilon: 1e-6,
    connection: defaultConnection("mhc"),
  };
  const parameters = createParameters();
  const { hidden, logits, loss } = languageModel(model, parameters);
  const inputs = batchInputs({ batch: B, model, data: { loss: "answers" } });
  const { hidden_NC } = hidden(inputs.tokens);
  const program = runtime.compile({
    outputs: {
      loss: loss(hidden_NC, inputs.targets, inputs.weights),
      each: crossEntropy(logits(hidden_NC), reshape(inputs.targets, [B * T])),
    },
  });
  initialise(runtime, parameters, 3);
  const batch = batchesOf().trainingBatch(2);
  writeBatch(runtime, inputs, batch);
  program.run();
  const each = await program.read("each");
  const counted = Array.from(each).filter((_, index) => batch.weights![index]! > 0);
  expect(counted.length).toBeLessThan(B * T);
  const mean = counted.reduce((sum, value) => sum + value, 0) / counted.length;
  expect((await program.read("loss"))[0]).toBeCloseTo(mean, 4);
  program.release();
});

test("the examples of a batch are those of its numbers", () => {
  const { tokens } = batchesOf(7).trainingBatch(0);
  const { question } = exampleAt(tasks, 7, 0, "train");
  expect(tokenizer.decode([...tokens.subarray(0, T)])).toContain(`Q: ${question}\nA:`);
});
