// Question: when are two sets of weights the same numbers, or the same function?
//
// What a row of φ and its α compute depends on their product alone, α_k φ, so scales and signs that moved from one to
// the other are no difference. Every number is compared by itself: a large one hides no small one. Whether one side was
// rounded to 16 bits is found by rounding the other: that must give exactly its numbers (lint-rounding.ts).

import { type ConnectionWeights, streamsOfBias } from "../connections/conventions/evaluate.ts";
import { isSpread, type Pair, type Rounding, roundings, stillRounded } from "./lint-rounding.ts";

/** n and C of a connection; an end has n numbers in its bias, a sublayer n² + 2n. */
export function sizesOf(
  { bias, phi, theta }: ConnectionWeights,
  isEnd: boolean,
): { readonly streams: number; readonly channels: number } {
  const rows = bias?.shape[0] ?? 0;
  const streams = isEnd || !bias ? rows : streamsOfBias(bias);
  return { streams, channels: phi ? (phi.shape[1] ?? 0) / streams : (theta?.shape[1] ?? 1) };
}

export const haveSameShapes = (a: ConnectionWeights, b: ConnectionWeights): boolean =>
  Object.keys(b).every(
    (part) => a[part]?.shape.join() === b[part]!.shape.join() && a[part].data.length === b[part]!.data.length,
  ) && Object.keys(a).every((part) => part in b);

/** What is left when float32 scales moved from φ to α: four roundings, with room for as many more. */
const FLOAT32 = 2 ** -21;
/** Below this, float32 has fewer bits. */
const LEAST = 2 ** -126;

const isNear = (a: number, b: number): boolean =>
  a === b || Math.abs(a - b) <= FLOAT32 * Math.max(Math.abs(a), Math.abs(b)) + LEAST;

/** Whether each number agrees up to float32 arithmetic; nothing agrees with NaN. */
export function isNearData(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < b.length; i++) if (!isNear(a[i]!, b[i]!)) return false;
  return true;
}

/** Whether two sets of weights of the same shapes compute the same. θ's rows share α's in another way and stay. */
export function isSameFunction(a: ConnectionWeights, b: ConnectionWeights): boolean {
  if (!b["phi"] || !b["alpha"] || !b["bias"])
    return smallestFirst(b).every((part) => isNearData(a[part]!.data, b[part]!.data));
  return isNearData(a["bias"]!.data, b["bias"].data) && isNearProduct(a, b);
}

/** Whether each row of φ, times its α, agrees. */
function isNearProduct(a: ConnectionWeights, b: ConnectionWeights): boolean {
  const [here, there] = [a["phi"]!.data, b["phi"]!.data];
  const [ours, theirs] = [a["alpha"]!.data, b["alpha"]!.data];
  const rows = b["phi"]!.shape[0]!;
  const width = there.length / rows;
  const n = ours.length === 1 ? rows : streamsOfBias(b["bias"]!);
  for (let row = 0; row < rows; row++) {
    const k = row < n ? 0 : row < 2 * n ? 1 : 2;
    for (let at = row * width; at < (row + 1) * width; at++)
      if (!isNear(ours[k]! * here[at]!, theirs[k]! * there[at]!)) return false;
  }
  return true;
}

/** Whether two sets of weights are the same, but for float32 arithmetic or one rounding to 16 bits. */
export const isAlike = (a: ConnectionWeights, b: ConnectionWeights): boolean =>
  isSameFunction(a, b) || roundingOf(a, b) !== undefined;

/** The same of two lists of numbers. */
export const isAlikeData = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
  isNearData(a, b) || (a.length === b.length && compareNumbers([[a, b]]).rounded.length > 0);

/** A bias of some numbers rules most things out before a φ of millions is looked at. */
const smallestFirst = (weights: ConnectionWeights): string[] =>
  Object.keys(weights).sort((a, b) => weights[a]!.data.length - weights[b]!.data.length);

/** How far apart two lists of numbers are. */
export interface Comparison {
  /** The largest difference; NaN or Infinity where a number of one side is not finite. */
  readonly difference: number;
  /** The number with that difference, and what it is on each side. */
  readonly at: number;
  readonly here: number;
  readonly there: number;
  /** The roundings to 16 bits that explain all differences. */
  readonly rounded: readonly Rounding[];
  /** Some of the numbers that differ, if a rounding explains them. */
  readonly pairs: readonly Pair[];
}

const MOST_PAIRS = 256;

/** Goes once through two lists of the same length, which come in parts. */
export function compareNumbers(
  parts: Iterable<readonly [here: ArrayLike<number>, there: ArrayLike<number>]>,
): Comparison {
  let worst = { difference: 0, at: 0, here: 0, there: 0 };
  let left = roundings;
  const pairs: Pair[] = [];
  let before = 0;
  for (const [a, b] of parts) {
    for (let i = 0; i < b.length; i++) {
      const here = a[i]!;
      const there = b[i]!;
      const difference = here === there ? 0 : Math.abs(here - there);
      if (!Number.isFinite(difference)) return { difference, at: before + i, here, there, rounded: [], pairs: [] };
      if (difference > worst.difference) worst = { difference, at: before + i, here, there };
      if (left.length === 0) continue;
      left = stillRounded(left, here, there);
      if (difference > 0 && pairs.length < MOST_PAIRS) pairs.push([here, there]);
    }
    before += b.length;
  }
  const rounded = worst.difference === 0 ? roundings : left.filter((each) => isSpread(each, pairs));
  return { ...worst, rounded, pairs: rounded.length > 0 ? pairs : [] };
}

/** The part of a connection that differs most, and how. */
export function largestDifference(a: ConnectionWeights, b: ConnectionWeights): Comparison & { readonly part: string } {
  let worst: Comparison & { part: string } = { part: "", ...compareNumbers([]) };
  for (const [part, { data }] of Object.entries(b)) {
    const found = { part, ...compareNumbers([[a[part]!.data, data]]) };
    if (!Number.isFinite(found.difference)) return found;
    if (found.difference > worst.difference) worst = found;
  }
  return worst;
}

/** The rounding that gave one side all of its numbers that differ; undefined where none did. */
export function roundingOf(given: ConnectionWeights, right: ConnectionWeights): Rounding | undefined {
  let left = roundings;
  for (const part of smallestFirst(right)) {
    const { rounded } = compareNumbers([[given[part]!.data, right[part]!.data]]);
    left = left.filter((each) => rounded.includes(each));
    if (left.length === 0) return undefined;
  }
  return left[0];
}

/** Whether one part of many connections together looks rounded: each bias alone may have too few numbers to tell. */
export function isRoundedTogether(
  compared: readonly { readonly given: ConnectionWeights; readonly right: ConnectionWeights }[],
): boolean {
  const together = new Map<string, { readonly rounding: Rounding; readonly pairs: Pair[] }>();
  for (const { given, right } of compared) {
    const rounding = roundingOf(given, right)!;
    for (const part of Object.keys(right)) {
      const key = `${part} ${rounding.what} ${rounding.side}`;
      const group = together.get(key) ?? { rounding, pairs: [] };
      group.pairs.push(...compareNumbers([[given[part]!.data, right[part]!.data]]).pairs);
      together.set(key, group);
    }
  }
  return [...together.values()].every(({ rounding, pairs }) => isSpread(rounding, pairs));
}
