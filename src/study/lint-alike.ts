// Question: when are two sets of weights the same numbers, or the same function?
//
// What a row of φ and its α compute depends on their product alone, α_k φ, so scales and signs that moved from one to
// the other are no difference. Numbers that 16 bits cannot hold and that lie within their rounding are called so.

import { type ConnectionWeights, streamsOfBias } from "../connections/conventions/evaluate.ts";

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

/** What decides the coefficients: every row of φ times its α, and the bias. θ's rows share α's in another way and stay. */
function effective(weights: ConnectionWeights): ConnectionWeights {
  const { phi, alpha, bias } = weights;
  if (!phi || !alpha || !bias) return weights;
  const rows = phi.shape[0]!;
  const width = phi.data.length / rows;
  const n = alpha.data.length === 1 ? rows : streamsOfBias(bias);
  const data = Float64Array.from(phi.data, (value, at) => {
    const row = Math.floor(at / width);
    return value * alpha.data[alpha.data.length === 1 ? 0 : row < n ? 0 : row < 2 * n ? 1 : 2]!;
  });
  return { product: { shape: phi.shape, data }, bias };
}

/** Rounding of float32 arithmetic, relative to the largest number. */
export const FLOAT32: number = 2 ** -21;
/** Weights closer than this, relative to the largest number, are equal but for rounding to 16 bits. */
export const SAME: number = 2 ** -7;

export const isSameFunction = (a: ConnectionWeights, b: ConnectionWeights): boolean =>
  isNear(effective(a), effective(b), FLOAT32);

/** Whether all numbers agree, relative to the largest of their tensor; nothing agrees with NaN. */
export const isNear = (a: ConnectionWeights, b: ConnectionWeights, tolerance: number): boolean =>
  smallestFirst(b).every((part) => isNearData(a[part]!.data, b[part]!.data, tolerance));

/** A bias of some numbers rules most things out before a φ of millions is looked at. */
const smallestFirst = (weights: ConnectionWeights): string[] =>
  Object.keys(weights).sort((a, b) => weights[a]!.data.length - weights[b]!.data.length);

export function isNearData(a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number): boolean {
  if (a.length !== b.length) return false;
  let top = 0;
  for (let i = 0; i < b.length; i++) top = Math.max(top, Math.abs(b[i]!));
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i] && !(Math.abs(a[i]! - b[i]!) <= tolerance * top)) return false;
  return true;
}

/** A type of 16 bits. */
export type Half = "bfloat16" | "float16";

interface HalfRule {
  readonly kind: Half;
  /** Whether the type has a number. */
  readonly holds: (value: number) => boolean;
  /** The most that rounding to the type changes. */
  readonly relative: number;
  readonly absolute: number;
}

const halves: readonly HalfRule[] = [
  { kind: "bfloat16", holds: (value) => (bitsOf(value) & 0xffff) === 0, relative: 2 ** -7, absolute: 1e-38 },
  { kind: "float16", holds: isHalf, relative: 2 ** -10, absolute: 2 ** -24 },
];

/** Whether 11 bits of a number's fraction are enough, and its exponent lies within a half's. */
function isHalf(value: number): boolean {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value) || 1)));
  return Math.abs(value) <= 65504 && Number.isInteger(value / 2 ** (exponent - 10));
}
const word = new Uint32Array(1);
const asFloat = new Float32Array(word.buffer);
function bitsOf(value: number): number {
  asFloat[0] = value;
  return word[0]!;
}

/** How far apart two lists of numbers are. */
export interface Comparison {
  /** The largest difference; NaN where one side has NaN. */
  readonly difference: number;
  /** The number with that difference, and what it is on each side. */
  readonly at: number;
  readonly here: number;
  readonly there: number;
  /** The 16-bit types that explain all differences: one side holds only numbers of that type. */
  readonly rounded: readonly Half[];
}

/** Goes once through two lists of the same length, which come in parts. */
export function compareNumbers(
  parts: Iterable<readonly [here: ArrayLike<number>, there: ArrayLike<number>]>,
): Comparison {
  let worst = { difference: 0, at: 0, here: 0, there: 0 };
  let kinds = halves.map((half) => ({ half, here: true, there: true, differs: false }));
  let before = 0;
  for (const [a, b] of parts) {
    for (let i = 0; i < b.length; i++) {
      const here = a[i]!;
      const there = b[i]!;
      const difference = here === there ? 0 : Math.abs(here - there);
      if (Number.isNaN(difference)) return { difference, at: before + i, here, there, rounded: [] };
      if (difference > worst.difference) worst = { difference, at: before + i, here, there };
      for (const kind of kinds) {
        kind.differs ||= difference > 0;
        kind.here &&= kind.half.holds(here);
        kind.there &&= kind.half.holds(there);
      }
      if (difference === 0) continue;
      const size = Math.max(Math.abs(here), Math.abs(there));
      kinds = kinds.filter(({ half }) => difference <= half.relative * size + half.absolute);
    }
    before += b.length;
  }
  const explaining = kinds.filter(({ here, there, differs }) => here || there || !differs);
  return { ...worst, rounded: explaining.map(({ half }) => half.kind) };
}

/** The part of a connection that differs most, and how. */
export function largestDifference(a: ConnectionWeights, b: ConnectionWeights): Comparison & { readonly part: string } {
  let worst: Comparison & { part: string } = { part: "", difference: 0, at: 0, here: 0, there: 0, rounded: [] };
  for (const [part, { data }] of Object.entries(b)) {
    const found = { part, ...compareNumbers([[a[part]!.data, data]]) };
    if (Number.isNaN(found.difference)) return found;
    if (found.difference > worst.difference) worst = found;
  }
  return worst;
}

/** The 16-bit type to whose numbers one side was rounded; undefined where the sides differ by more or otherwise. */
export function roundedTo(given: ConnectionWeights, right: ConnectionWeights): Half | undefined {
  const kinds = Object.keys(right).map((part) => compareNumbers([[given[part]!.data, right[part]!.data]]).rounded);
  return halves.map(({ kind }) => kind).find((kind) => kinds.every((each) => each.includes(kind)));
}
