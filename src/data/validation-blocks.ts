// Question: which tokens of a long stream are kept for validation?
//
// SHARE of N tokens, at most MOST of them, in up to RUNS blocks. The stream is cut into as many runs of equal length,
// and one block of each is kept, at a place that the seeded generator draws. So validation is spread evenly over the
// stream, and of no block is a token trained on. A block may begin and end within a document.

import { streams, uniformInteger } from "./random.ts";

/** Tokens from one to before another. */
export interface TokenRange {
  readonly from: number;
  readonly to: number;
}

/** What is kept by default: with more tokens than this, validation takes longer and hardly says more. */
const MOST = 2 ** 22;
const RUNS = 64;
/** Blocks are no shorter, as long as there is more than one. */
const SHORTEST = 2 ** 14;

/** The blocks that are kept of `length` tokens, in their order. */
export function validationBlocks(length: number, seed: number, share: number): TokenRange[] {
  const kept = Math.min(Math.floor(length * share), MOST);
  const runs = Math.max(1, Math.min(RUNS, Math.floor(kept / SHORTEST)));
  const [block, run] = [Math.floor(kept / runs), Math.floor(length / runs)];
  if (block === 0) return [];
  return Array.from({ length: runs }, (_, index) => {
    const from = index * run + uniformInteger(seed, streams.split, index, run - block + 1);
    return { from, to: from + block };
  });
}

/** What lies between some ranges of `length` tokens. */
export function outside(ranges: readonly TokenRange[], length: number): TokenRange[] {
  const ends = [0, ...ranges.flatMap(({ from, to }) => [from, to]), length];
  return Array.from({ length: ends.length / 2 }, (_, at) => ({ from: ends[2 * at]!, to: ends[2 * at + 1]! })).filter(
    ({ from, to }) => to > from,
  );
}
