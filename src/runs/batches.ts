// Question: which batches does a run learn from and measure?
//
// Windows of its tokens, or generated examples. Those of data that is not held in memory are read ahead.

import { given } from "../basics/given.ts";
import { type Batches, createBatches } from "../data/batches.ts";
import { createGeneratedBatches } from "../data/generated/batches.ts";
import type { PreparedFiles } from "../data/prepared-files.ts";
import { readAhead } from "../data/stored/read-ahead.ts";
import type { TrainingConfig } from "../training/config.ts";

/**
 * The batches of a run.
 *
 * @param limit the most batches of validation; as many as the run's configuration says by default
 * @throws RangeError when the tokenizer's vocabulary is not the model's
 */
export function runBatches(
  config: TrainingConfig,
  data: PreparedFiles,
  limit: number = config.evaluateBatches,
): Batches & { close(): void } {
  const { batch, accumulate, model, seed } = config;
  const { tokenizer, train, validation, mixture, folder, generated } = data;
  if (tokenizer.vocabularySize !== model.vocabulary) {
    throw new RangeError(
      `The model has a vocabulary of ${model.vocabulary} and the tokenizer one of ${tokenizer.vocabularySize}; ` +
        "set model.vocabulary to the tokenizer's size.",
    );
  }
  const { trainingShare } = config.data;
  if (generated) {
    if (trainingShare !== undefined)
      throw new Error(
        `data.trainingShare is ${trainingShare}, and the examples are generated without end; leave it out.`,
      );
    const sizes = { batchSize: batch, contextLength: model.context, seed, validationLimit: limit };
    return { ...createGeneratedBatches({ tasks: generated, tokenizer, ...sizes }), close: () => {} };
  }
  const shuffle = config.data.shuffled ? { rows: batch * accumulate, ...given({ mixture }) } : undefined;
  const options = { batchSize: batch, contextLength: model.context, seed, ...given({ shuffle, trainingShare }) };
  const { byteLengths } = tokenizer;
  const batches = createBatches({ train, validation, byteLengths, validationLimit: limit, ...options });
  return folder === undefined ? { ...batches, close: () => {} } : readAhead(batches, folder, options, accumulate);
}
