// birkhoff/data: from text to tokens to batches, seeded; reads no files.

// Data: make tokens of a text, and batches of tokens.
export { createBatches, type Batch, type Batches, type BatchOptions, type ValidationBatch } from "./data/batches.ts";
export { createGeneratedBatches, type GeneratedBatchOptions } from "./data/generated/batches.ts";
export { answerOf, exampleAt, examplesOf, type GeneratedExample, promptOf } from "./data/generated/examples.ts";
export { type ChosenTask, generatedTasks, parseTasks } from "./data/generated/table.ts";
export type { GeneratedTask } from "./data/generated/task.ts";
export type { Draw } from "./data/generated/draw.ts";
export type { AddedToken } from "./data/added-tokens.ts";
export type { PostProcessor } from "./data/post-processor.ts";
export type { SplitRule, WordRule } from "./data/pretokenise.ts";
export {
  type StreamDecoder,
  Tokenizer,
  type TokenizerDefinition,
  type TokenizerTraining,
  trainTokenizer,
} from "./data/tokenizer.ts";
export { prepareTexts, type PreparedTexts, type TextsOptions } from "./data/prepare-texts.ts";
export type { Document } from "./data/split.ts";
export type { NormalForm } from "./data/normal-forms.ts";
export { memoryTokens, type TokenSource } from "./data/tokens.ts";
