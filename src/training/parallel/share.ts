// Question: which rows of a batch does each rank learn from?
//
// A step has batch · accumulate rows however many ranks there are. Rank r of N takes the r-th part of them, in
// microbatches of at most `batch` rows: as many as one process would have with an `accumulate` of N times as many.

import { given } from "../../basics/given.ts";
import type { Batch, Batches } from "../../data/batches.ts";
import type { ExpertSharing } from "../../model/mixture.ts";
import type { TrainingConfig } from "../config.ts";

/** One rank's rows of each step. */
export interface Share {
  /** Rows of a microbatch. */
  readonly batch: number;
  /** Microbatches of this rank. */
  readonly accumulate: number;
  /** The first of them, counted through all ranks. */
  readonly first: number;
  /** Microbatches of all ranks. */
  readonly total: number;
}

/** A rank, and how many there are. */
export interface Place {
  readonly rank: number;
  readonly size: number;
  /** Bytes of a bucket of gradients; see layout.ts. The same on all ranks. */
  readonly bucketBytes?: number;
  /** How many ranks next to each other share the experts of each layer; absent: each has all. A divisor of `size`. */
  readonly experts?: number;
}

/** Which part of the experts a rank holds, and how many parts there are; undefined where it has all. */
export function sharingOf({ rank, experts = 1 }: Pick<Place, "rank" | "experts">): ExpertSharing | undefined {
  return experts > 1 ? { ranks: experts, part: rank % experts } : undefined;
}

/**
 * @throws RangeError when the ranks cannot have equally many rows; it names the nearest batch with which they can
 */
export function shareOf(
  { batch, accumulate }: Pick<TrainingConfig, "batch" | "accumulate">,
  { rank, size }: Place,
): Share {
  const rows = (batch * accumulate) / size;
  if (!Number.isInteger(rows)) {
    const nearest = size * Math.max(1, Math.round(rows));
    throw new RangeError(
      `${batch * accumulate} sequences a step are given, and ${size} processes; each must have equally many. Take --batch ${nearest} --accumulate 1, or another number of processes.`,
    );
  }
  let microbatches = Math.ceil(rows / batch);
  while (rows % microbatches > 0) microbatches++;
  return {
    batch: rows / microbatches,
    accumulate: microbatches,
    first: rank * microbatches,
    total: size * microbatches,
  };
}

/** A rank's microbatches, counted from 0, from the batches of one process. */
export function ownBatches(batches: Batches, share: Share): (step: number, microbatch: number) => Batch {
  const { batchSize, contextLength } = batches;
  return (step, microbatch) => {
    const tokens = new Int32Array(share.batch * contextLength);
    const targets = new Int32Array(tokens.length);
    let weights: Float32Array | undefined;
    const first = (share.first + microbatch) * share.batch;
    for (let done = 0; done < share.batch;) {
      const row = (first + done) % batchSize;
      const rows = Math.min(batchSize - row, share.batch - done);
      const whole = batches.trainingBatch(step, Math.floor((first + done) / batchSize));
      const [from, to] = [row * contextLength, (row + rows) * contextLength];
      tokens.set(whole.tokens.subarray(from, to), done * contextLength);
      targets.set(whole.targets.subarray(from, to), done * contextLength);
      if (whole.weights) {
        weights ??= new Float32Array(tokens.length);
        weights.set(whole.weights.subarray(from, to), done * contextLength);
      }
      done += rows;
    }
    return { tokens, targets, ...given({ weights }) };
  };
}
