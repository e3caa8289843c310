// Question: what do benchmarks train on?

import { createBatches, type Batches } from "../../src/data/batches.ts";
import { memoryTokens } from "../../src/data/tokens.ts";
import type { TrainingConfig } from "../../src/training/config.ts";

/** A text in which a few tokens are frequent and many are rare, as in a language, so that a few steps learn something. */
export function inventedBatches({ model, batch, seed }: TrainingConfig): Batches {
  let state = 1;
  const ids = Int32Array.from({ length: 1 << 16 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(model.vocabulary * (state / 2 ** 32) ** 3);
  });
  const text = memoryTokens(ids, model.vocabulary, ids.length);
  const byteLengths = new Uint8Array(model.vocabulary).fill(1);
  return createBatches({
    train: text,
    validation: text,
    byteLengths,
    batchSize: batch,
    contextLength: model.context,
    seed,
  });
}
