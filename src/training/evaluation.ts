// Question: how well does a model predict the validation text?
//
// loss = Σ nats / Σ tokens, bits a byte = Σ nats / (ln 2 · Σ bytes), over batches of equal weight a token that counts.

import type { ValidationBatch } from "../data/batches.ts";

/** The mean loss over the validation batches. */
export interface Evaluation {
  /** Nats a token. */
  readonly loss: number;
  /** Bits a byte of the text, which does not depend on the tokenizer. */
  readonly bitsPerByte: number;
}

/** The mean over batches of what `lossOf` says of each, in nats a token. */
export async function meanLoss(
  batches: Iterable<ValidationBatch>,
  lossOf: (batch: ValidationBatch) => Promise<number>,
): Promise<Evaluation> {
  let [nats, count, bytes] = [0, 0, 0];
  for (const batch of batches) {
    const counted = batch.counted ?? batch.targets.length;
    nats += (await lossOf(batch)) * counted;
    count += counted;
    bytes += batch.bytes;
  }
  return { loss: nats / count, bitsPerByte: nats / Math.LN2 / bytes };
}
