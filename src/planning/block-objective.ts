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

/**
 * What Eq. 20 minimises, in units of C values a token.
 *
 * @param streams n
 * @param sublayers L
 * @param storeEvery L_r
 */
export function blockObjective(streams: number, sublayers: number, storeEvery: number): number {
  return streams * Math.ceil(sublayers / storeEvery) + (streams + 2) * storeEvery;
}

/**
 * Where Eq. 20 has its minimum when L_r need not be whole: √(nL / (n + 2)).
 *
 * @param streams n
 * @param sublayers L
 */
export function blockOptimum(streams: number, sublayers: number): number {
  return Math.sqrt((streams * sublayers) / (streams + 2));
}
