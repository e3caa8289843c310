// Question: every how many sublayers should the state be stored, by the count of the paper?
//
// With L sublayers, n streams of C channels, and counting what is stored and what one group of L_r sublayers needs
// again, Eq. 20 (mHC, arXiv 2512.24880) is
//
//   L_r* = argmin  nC ⌈L/L_r⌉ + (n + 2)C L_r   ≈ √(nL / (n + 2))        n for x, 2 for a read and its norm
//
// This library's steps need less again: a sublayer's read and norm wait until its own gradient asks for them, so
// of a group only x and the coefficients h are there together, and with r sublayers in the group that the backward
// pass is in, the bytes that depend on L_r are nC ⌈L/L_r⌉ + (nC + h)(r − 1); runtime/plan/segment-memory.ts counts
// them from a plan.

import { MOST_COUNT, MOST_STREAMS } from "../basics/bounds.ts";
import { expectWhole } from "../basics/ranges.ts";

/**
 * What Eq. 20 minimises, in units of C values a token.
 *
 * @param streams n
 * @param sublayers L
 * @param storeEvery L_r
 */
export function blockObjective(streams: number, sublayers: number, storeEvery: number): number {
  expectSizes("blockObjective", streams, sublayers);
  expectWhole("blockObjective", "storeEvery", storeEvery, 1, MOST_COUNT);
  return streams * Math.ceil(sublayers / storeEvery) + (streams + 2) * storeEvery;
}

/**
 * Where Eq. 20 has its minimum when L_r need not be whole: √(nL / (n + 2)).
 *
 * @param streams n
 * @param sublayers L
 */
export function blockOptimum(streams: number, sublayers: number): number {
  expectSizes("blockOptimum", streams, sublayers);
  return Math.sqrt((streams * sublayers) / (streams + 2));
}

function expectSizes(operation: string, streams: number, sublayers: number): void {
  expectWhole(operation, "streams", streams, 1, MOST_STREAMS);
  expectWhole(operation, "sublayers", sublayers, 1, MOST_COUNT);
}
