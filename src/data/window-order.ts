// Question: which window does each row of each step read, when every window is to be read once before any is again?
//
// A source is pieces of text between seams. Windows lie side by side in each piece, T tokens apart; they are numbered
// from 0 to M - 1 over all pieces. Row r of step k is sample s = k R + r, of R rows a step, and reads window
// order(s mod M) of epoch ⌊s / M⌋. The order shuffles by blocks, so that what is read at one time lies close together
// on the disk:
//
//   blocks of W windows are put in random order; each GROUP of them is taken together, and the windows of a group are
//   put in random order; what is left over after the last whole block comes last
//
// All orders are permutations that are computed place by place (random.ts): sample s is a function of the seed and of
// s, so a run that is resumed reads what it would have read, and any batch can be made again.
//
// A mixture gives each of several sources a weight. A cycle of CYCLE samples has as many samples of each source as its
// weight asks for, in random order; each source is read in an order of its own.

import { expectFields, expectGiven, type FieldRules } from "../basics/fields.ts";
import { expectAmount, expectWhole } from "../basics/ranges.ts";
import { showMany } from "../basics/show.ts";
import { derivedKey, permuted } from "./random.ts";

/** Tokens that lie together in a source, and how often they are read. */
export interface MixturePart {
  /** Tokens of it; the parts follow one another in the source. */
  readonly tokens: number;
  /** Its share of the samples is this divided by the sum of all weights. */
  readonly weight: number;
}

/** What is shuffled. */
export interface ShuffledSource {
  readonly length: number;
  /** Where pieces of text begin, beside 0, in rising order: no window lies across one. Default: none. */
  readonly seams?: readonly number[];
}

/** How steps read shuffled windows. */
export interface ShuffleOptions {
  /** R, rows of a step, all its microbatches together. */
  readonly rows: number;
  /** Parts of the source with their weights; default: all of it alike. */
  readonly mixture?: readonly MixturePart[];
}

/** Tokens of a block: read at one time, so that a disk is read in long stretches. */
const BLOCK_TOKENS = 2 ** 17;
/** Blocks that are read at one time. */
const GROUP = 64;
/** Samples of a cycle of a mixture. */
const CYCLE = 1024;

const optionRules: FieldRules<ShuffleOptions> = { rows: "number", mixture: "list" };
const partRules: FieldRules<MixturePart> = { tokens: "number", weight: "number" };

function expectOptions(options: ShuffleOptions): void {
  const place = "createBatches: shuffle";
  expectFields(place, options, optionRules);
  const { rows, mixture } = options;
  expectWhole(place, "rows", rows, 1, Number.MAX_SAFE_INTEGER);
  if (mixture === undefined) return;
  expectWhole(place, "the number of parts in mixture", mixture.length, 1, CYCLE);
  for (const part of mixture) {
    expectFields(place, part, partRules, "field of a part");
    expectGiven(place, part, partRules, ["tokens", "weight"]);
    expectWhole(place, "tokens", part.tokens, 0, Number.MAX_SAFE_INTEGER);
    expectAmount(place, "weight", part.weight, true);
  }
}

const purposes = { cycle: 0, blocks: 1, windows: 2, rest: 3 } as const;
/** Purposes of one part of a mixture. */
const PURPOSES = 4;

/**
 * The first token of the window that a row of a step reads.
 *
 * @throws TypeError or RangeError for options that make no sense; Error when a part has no piece as long as a window
 */
export function shuffledWindows(
  source: ShuffledSource,
  contextLength: number,
  seed: number,
  options: ShuffleOptions,
): (step: number, row: number) => number {
  expectOptions(options);
  const { rows, mixture = [{ tokens: source.length, weight: 1 }] } = options;
  const parts = partsOf(source, contextLength, mixture);
  const counts = shares(mixture.map(({ weight }) => weight));
  const { part, rank } = cycleOf(counts, derivedKey(seed, purposes.cycle, 0));
  const orders = parts.map((windows, at) => blockOrder(windows.count, contextLength, seed, at));
  return (step, row) => {
    const sample = step * rows + row;
    const slot = sample % CYCLE;
    const chosen = part[slot]!;
    const place = Math.floor(sample / CYCLE) * counts[chosen]! + rank[slot]!;
    return parts[chosen]!.startOf(orders[chosen]!(place));
  };
}

interface Windows {
  readonly count: number;
  startOf(window: number): number;
}

function partsOf({ length, seams = [] }: ShuffledSource, T: number, mixture: readonly MixturePart[]): Windows[] {
  let from = 0;
  return mixture.map(({ tokens }) => {
    const to = from + tokens;
    const ends = [from, ...seams.filter((seam) => seam > from && seam < to), Math.min(to, length)];
    from = to;
    const windows = windowsOf(ends, T);
    if (windows.count > 0) return windows;
    const longest = ends.slice(1).reduce((most, end, at) => Math.max(most, end - ends[at]!), 0);
    throw new Error(
      `no piece of the training tokens holds a window: the longest has ${showMany(longest, "token")}, and a window of context ${T} needs ${T + 1}. Use more text${longest > 1 ? `, or a context of at most ${longest - 1} (--context)` : ""}.`,
    );
  });
}

/** Windows between each two neighbours of some ends. */
function windowsOf(ends: readonly number[], T: number): Windows {
  const starts: number[] = [];
  const firsts: number[] = [];
  let count = 0;
  for (let piece = 0; piece + 1 < ends.length; piece++) {
    const windows = Math.floor((ends[piece + 1]! - ends[piece]! - 1) / T);
    if (windows <= 0) continue;
    starts.push(ends[piece]!);
    firsts.push(count);
    count += windows;
  }
  return {
    count,
    startOf(window) {
      const piece = lastAtMost(firsts, window);
      return starts[piece]! + (window - firsts[piece]!) * T;
    },
  };
}

/** The index of the last of some rising numbers that is at most `value`. */
export function lastAtMost(rising: readonly number[], value: number): number {
  let [low, high] = [0, rising.length];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (rising[middle]! <= value) low = middle;
    else high = middle;
  }
  return low;
}

/** The window at each place of the samples of a part, epoch after epoch. */
function blockOrder(M: number, T: number, seed: number, at: number): (place: number) => number {
  // Of little text the blocks are smaller, so that there are some to shuffle.
  const W = Math.max(1, Math.min(Math.floor(BLOCK_TOKENS / T), Math.floor(M / GROUP)));
  const blocks = Math.floor(M / W);
  const whole = blocks * W;
  const groups = Math.ceil(blocks / GROUP);
  const keyOf = (purpose: number, counter: number): number => derivedKey(seed, at * PURPOSES + purpose, counter);
  return (sample) => {
    const [epoch, place] = [Math.floor(sample / M), sample % M];
    if (place >= whole) return whole + permuted(keyOf(purposes.rest, epoch), place - whole, M - whole);
    const group = Math.floor(place / (GROUP * W));
    const first = group * GROUP;
    const size = Math.min(GROUP, blocks - first) * W;
    const mixed = permuted(keyOf(purposes.windows, epoch * groups + group), place - first * W, size);
    const block = permuted(keyOf(purposes.blocks, epoch), first + Math.floor(mixed / W), blocks);
    return block * W + (mixed % W);
  };
}

/** Samples of a cycle for each weight, at least one each; the largest remainders get what is left over. */
function shares(weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0);
  const wanted = weights.map((weight) => (CYCLE * weight) / sum);
  const counts = wanted.map((share) => Math.max(1, Math.floor(share)));
  const byRemainder = wanted
    .map((share, index) => ({ index, remainder: share - counts[index]! }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index);
  for (let at = 0, left = CYCLE - counts.reduce((a, b) => a + b, 0); left !== 0; at++) {
    const { index } = byRemainder[at % byRemainder.length]!;
    if (left < 0 && counts[index] === 1) continue;
    counts[index]! += Math.sign(left);
    left -= Math.sign(left);
  }
  return counts;
}

/** For each sample of a cycle its part, and how many of that part come before it. */
function cycleOf(counts: readonly number[], key: number): { part: readonly number[]; rank: readonly number[] } {
  const sorted = counts.flatMap((count, index) => Array.from({ length: count }, () => index));
  const part = Array.from({ length: CYCLE }, (_, slot) => sorted[permuted(key, slot, CYCLE)]!);
  const seen = counts.map(() => 0);
  return { part, rank: part.map((index) => seen[index]!++) };
}
