// Question: how do ranks share an evaluation?
//
// Batch i is measured by rank i mod N. The losses are added up in the order of the batches, as one process adds them.

import type { Batch, Batches } from "../../data/batches.ts";
import type { Collective } from "../../runtime/collective/collective.ts";
import { type Evaluation, meanLoss } from "../evaluation.ts";

/** The mean over the validation batches, on all ranks. */
export async function meanOfRanks(
  collective: Collective,
  batches: Batches,
  lossOf: (batch: Batch) => Promise<number>,
): Promise<Evaluation> {
  const { rank, size } = collective;
  const rounds = Math.ceil(batches.validationCount / size);
  const own = new Float64Array(rounds);
  let index = 0;
  for (const batch of batches.validationBatches()) {
    if (index % size === rank) own[Math.floor(index / size)] = await lossOf(batch);
    index++;
    collective.progress();
  }
  const all = new Float64Array(size * rounds);
  await collective.allGather(new Uint8Array(own.buffer), new Uint8Array(all.buffer)).done();
  let next = 0;
  return await meanLoss(batches.validationBatches(), () => {
    const loss = all[(next % size) * rounds + Math.floor(next / size)]!;
    next++;
    return Promise.resolve(loss);
  });
}
