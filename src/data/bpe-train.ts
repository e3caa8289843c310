// Question: which pairs should become tokens?
//
// Byte-pair encoding (Sennrich, Haddow and Birch 2016): start from bytes, and repeatedly make the most frequent
// adjacent pair a new token.
//
// Equal words are counted once, with their count as a weight. All words lie in one flat array of symbols, linked
// to their neighbours. Each pair knows its total weight and the positions where it starts, so a merge touches only
// the places where its pair occurs.
//
// Ties: the greater weight first; among equals the smaller left token, then the smaller right token.
// The merges are therefore a function of the words and their counts, not of the order of documents.

import { PriorityQueue } from "./priority-queue.ts";

/** Two tokens that become one. Merge m makes token 256 + m; tokens 0 to 255 are the bytes. */
export type Merge = readonly [left: number, right: number];

interface Pair {
  readonly left: number;
  readonly right: number;
  /** How often the pair occurs now, where each occurrence counts as often as its word. */
  weight: number;
  /** Positions where the pair starts or once started, ascending; an entry whose symbols have changed since is stale. */
  readonly positions: number[];
}

interface Candidate {
  readonly pair: Pair;
  /** The pair's weight when it was queued. */
  readonly weight: number;
}

const comesFirst = (a: Candidate, b: Candidate): boolean =>
  a.weight !== b.weight
    ? a.weight > b.weight
    : a.pair.left !== b.pair.left
      ? a.pair.left < b.pair.left
      : a.pair.right < b.pair.right;

/** A position whose symbol was absorbed by the one before it, or a neighbour that does not exist. */
const none = -1;

/**
 * @param counts how often each word occurs in the corpus
 * @param wanted how many merges; fewer are returned when no pair occurs twice any more
 * @param onMerge called after each merge with the number made so far
 */
export function trainMerges(
  counts: ReadonlyMap<string, number>,
  wanted: number,
  onMerge?: (made: number) => void,
): Merge[] {
  const { symbols, previous, next, weights } = layOut(counts);
  const pairs = new Map<number, Pair>();
  const radix = 256 + wanted;

  const pairAt = (position: number): Pair => {
    const left = symbols[position]!;
    const right = symbols[next[position]!]!;
    const key = left * radix + right;
    let pair = pairs.get(key);
    if (pair === undefined) pairs.set(key, (pair = { left, right, weight: 0, positions: [] }));
    return pair;
  };
  const add = (position: number): Pair => {
    const pair = pairAt(position);
    pair.weight += weights[position]!;
    pair.positions.push(position);
    return pair;
  };

  for (let position = 0; position < symbols.length; position++) {
    if (next[position] !== none) add(position);
  }
  const queue = new PriorityQueue<Candidate>(comesFirst);
  for (const pair of pairs.values()) queue.push({ pair, weight: pair.weight });

  const merges: Merge[] = [];
  while (merges.length < wanted) {
    const candidate = queue.pop();
    if (candidate === undefined) break;
    const { pair } = candidate;
    // A weight falls only after the pair's younger token has been merged everywhere, so an outdated candidate
    // stands too far forward, never too far back: queue it again and continue.
    if (candidate.weight !== pair.weight) {
      if (pair.weight > 0) queue.push({ pair, weight: pair.weight });
      continue;
    }
    if (pair.weight < 2) break;

    const merged = 256 + merges.length;
    const created = new Set<Pair>();
    for (const position of pair.positions) {
      const second = next[position]!;
      if (symbols[position] !== pair.left || second === none || symbols[second] !== pair.right) continue;
      const before = previous[position]!;
      const after = next[second]!;
      const weight = weights[position]!;
      if (before !== none) pairAt(before).weight -= weight;
      if (after !== none) pairAt(second).weight -= weight;

      symbols[position] = merged;
      symbols[second] = none;
      next[position] = after;
      if (after !== none) previous[after] = position;

      if (before !== none) created.add(add(before));
      if (after !== none) created.add(add(position));
    }
    pair.weight = 0;
    pair.positions.length = 0;
    for (const fresh of created) {
      if (fresh.weight > 0) queue.push({ pair: fresh, weight: fresh.weight });
    }
    merges.push([pair.left, pair.right]);
    onMerge?.(merges.length);
  }
  return merges;
}

/** All words' bytes one after the other, each position linked to its neighbours within the word. */
function layOut(counts: ReadonlyMap<string, number>) {
  const encoder = new TextEncoder();
  const words = Array.from(counts, ([word, count]) => ({ bytes: encoder.encode(word), count }));
  const length = words.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const symbols = new Int32Array(length);
  const previous = new Int32Array(length);
  const next = new Int32Array(length);
  const weights = new Float64Array(length);
  let start = 0;
  for (const { bytes, count } of words) {
    const end = start + bytes.length;
    symbols.set(bytes, start);
    weights.fill(count, start, end);
    for (let position = start; position < end; position++) {
      previous[position] = position > start ? position - 1 : none;
      next[position] = position < end - 1 ? position + 1 : none;
    }
    start = end;
  }
  return { symbols, previous, next, weights };
}
