// Question: how do generated examples become batches?
//
// A row of T + 1 tokens is filled with whole examples, each with the end of a text after it; what is left is filled
// with ends of texts. The row is a function of the seed, the step and the row's number, as of any other text, so runs
// resume without a state and never come to an end of their data.
//
// The loss counts the answers and the ends of texts after them, not the questions: those are drawn at random, so
// learning to predict them teaches only the grammar, and their loss, which is nearly all of a text's, would drown the
// answers' in it. Of each target the batch has a weight: N / A for the A of N that count, 0 for the others, so that the
// mean over all is the mean over those.
//
// Shapes: B rows, T tokens, N = B·T; arrays are [N].

import { expectFields, type FieldRules } from "../../basics/fields.ts";
import { MOST_SEQUENCES } from "../../basics/bounds.ts";
import type { Batch, Batches } from "../batches.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { answerOf, exampleAt, type GeneratedExample, promptOf } from "./examples.ts";
import type { Part } from "./held-out.ts";
import { type ChosenTask, tasksText } from "./table.ts";

/** Where examples come from, and how many tokens a batch holds. */
export interface GeneratedBatchOptions {
  readonly tasks: readonly ChosenTask[];
  readonly tokenizer: Tokenizer;
  /** B. */
  readonly batchSize: number;
  /** T. */
  readonly contextLength: number;
  readonly seed: number;
  /** Batches of validation, 8 by default. */
  readonly validationLimit?: number;
}

const optionRules: FieldRules<GeneratedBatchOptions> = {
  tasks: "list",
  tokenizer: "group",
  batchSize: "number",
  contextLength: "number",
  seed: "number",
  validationLimit: "number",
};

/** So many examples may be drawn for a row; a power of two. */
const MOST_IN_ROW = 4096;
/** Validation asks the same questions whatever the seed of the training. */
const VALIDATION_SEED = 0;

/** An example as tokens, and where its answer begins. */
export interface EncodedExample {
  readonly ids: readonly number[];
  readonly answerFrom: number;
}

/** The tokens of an example; the end of a text belongs to the answer. */
export function encodeExample(tokenizer: Tokenizer, example: GeneratedExample): EncodedExample {
  const prompt = tokenizer.encode(promptOf(example));
  const end = tokenizer.endOfText === undefined ? [] : [tokenizer.endOfText];
  return { ids: [...prompt, ...tokenizer.encode(answerOf(example)), ...end], answerFrom: prompt.length };
}

/**
 * Training and validation batches of generated examples, without end.
 *
 * @throws Error when an example is longer than the context
 */
export function createGeneratedBatches(options: GeneratedBatchOptions): Batches {
  expectFields("createGeneratedBatches", options, optionRules);
  const { tasks, tokenizer, batchSize, contextLength, seed, validationLimit = 8 } = options;
  const filler = tokenizer.endOfText ?? 0;

  /** The examples of a row, and which of its targets count. */
  const fill = (into: Int32Array, counted: Uint8Array, part: Part, seed: number, row: number): void => {
    into.fill(filler);
    counted.fill(0);
    let at = 0;
    for (let index = 0; index < MOST_IN_ROW; index++) {
      const example = exampleAt(tasks, seed, row * MOST_IN_ROW + index, part);
      const { ids, answerFrom } = encodeExample(tokenizer, example);
      if (ids.length > into.length) throw tooLong(example, ids.length, contextLength);
      if (at + ids.length > into.length) break;
      into.set(ids, at);
      // Target i is token i + 1.
      counted.fill(1, at + answerFrom - 1, at + ids.length - 1);
      at += ids.length;
    }
  };

  const gather = (part: Part, seed: number, firstRow: number): Batch & { counted: number } => {
    const N = batchSize * contextLength;
    const [tokens, targets, weights] = [new Int32Array(N), new Int32Array(N), new Float32Array(N)];
    const window = new Int32Array(contextLength + 1);
    const counts = new Uint8Array(contextLength);
    for (let row = 0; row < batchSize; row++) {
      fill(window, counts, part, seed, firstRow + row);
      tokens.set(window.subarray(0, contextLength), row * contextLength);
      targets.set(window.subarray(1), row * contextLength);
      weights.set(counts, row * contextLength);
    }
    const counted = weights.reduce((sum, weight) => sum + weight, 0);
    weights.forEach((weight, at) => (weights[at] = weight * (N / counted)));
    return { tokens, targets, weights, counted };
  };

  return {
    batchSize,
    contextLength,
    validationCount: validationLimit,
    trainingBatch(step, microbatch = 0) {
      const { counted: _, ...batch } = gather("train", seed, step * MOST_SEQUENCES + microbatch * batchSize);
      return batch;
    },
    *validationBatches() {
      for (let index = 0; index < validationLimit; index++) {
        const batch = gather("validation", VALIDATION_SEED, index * batchSize);
        const bytes = batch.targets.reduce(
          (sum, id, at) => sum + (batch.weights![at]! > 0 ? tokenizer.byteLengths[id]! : 0),
          0,
        );
        yield { ...batch, bytes };
      }
    },
  };

  function tooLong({ task, difficulty }: GeneratedExample, length: number, context: number): Error {
    return new Error(
      `generated tasks: a question of ${task} at difficulty ${difficulty} has ${length} tokens with its answer, and a context of ${context} holds ${context + 1}: use a larger context (--context ${2 ** Math.ceil(Math.log2(length))}), a larger vocabulary (--vocabulary), or easier or other tasks than ${tasksText(tasks)}.`,
    );
  }
}
