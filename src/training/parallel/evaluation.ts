// Question: how do ranks share an evaluation?
//
// Batch i is measured by rank i mod N. The losses are added up in the order of the batches, as one process adds them.
// Where ranks share experts, none may stop before the others: one that has no batch left measures its last once more.

import type { Batch, Batches } from "../../data/batches.ts";
import type { Collective } from "../../runtime/collective/collective.ts";
import { type Evaluation, meanLoss } from "../evaluation.ts";

/**
 * The mean over the validation batches, on all ranks.
 *
 * @param together whether measuring a batch needs all ranks
 */
export async function meanOfRanks(
  collective: Collective,
  batches: Batches,
  lossOf: (batch: Batch) => Promise<number>,
  together: boolean,
): Promise<Evaluation> {
  const { rank, size } = collective;
  const rounds = Math.ceil(batches.validationCount / size);
  const own = new Float64Array(rounds);
  let round = 0;
  let latest: Batch | undefined;
  const measure = async (batch: Batch): Promise<void> => {
    latest = batch;
    own[round++] = await lossOf(batch);
    collective.progress();
  };
  let index = 0;
  for (const batch of batches.validationBatches()) {
    if (index % size === rank) await measure(batch);
    // A rank beyond the last batch needs one to take part with.
    else latest ??= batch;
    index++;
  }
  if (together && round < rounds) await measure(latest!);
  const all = new Float64Array(size * rounds);
  await collective.allGather(new Uint8Array(own.buffer), new Uint8Array(all.buffer)).done();
  let next = 0;
  return await meanLoss(batches.validationBatches(), () => {
    const loss = all[(next % size) * rounds + Math.floor(next / size)]!;
    next++;
    return Promise.resolve(loss);
  });
}
