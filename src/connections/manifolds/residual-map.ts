// Question: what is a choice for H_res?
//
// H_res mixes the n streams of a token. Every choice is one map from a few unconstrained logits, which a
// connection predicts for each token, to an n × n matrix. A map is composed from graph operations, which bring
// its gradient and its kernels. Most maps are one softmax, or one rotation, times a fixed matrix.
//
// Some maps also learn something of the constraint itself, such as a temperature: numbers of a sublayer that are the same
// for all tokens. They are the last of the logits, without a part that depends on the token.
//
// Shapes: logits [T, S], H [T, n·n] row-major, row = output stream. T tokens, S = size(n) logits.

import type { Tensor } from "../../graph/tensor.ts";

/** What holds for every H of a map, for any logits, up to rounding. */
export interface Guarantee {
  /** Rows sum to one: n equal streams stay what they are (forward gain 1). */
  readonly rows: boolean;
  /** Columns sum to one: the mean of the streams is kept (backward gain 1). */
  readonly columns: boolean;
  /** No entry is below zero. */
  readonly nonNegative: boolean;
  /** An upper bound of the spectral norm at n; undefined when nothing bounds it. */
  spectralNorm(n: number): number | undefined;
  /** Bounds of the composite gains after L sublayers, where they are not what the other fields say; see `gainBound`. */
  gain?(n: number, sublayers: number): GainBound;
}

/** The largest sum of a row (forward) and of a column (backward) of a product of H; infinite where nothing bounds it. */
export interface GainBound {
  readonly forward: number;
  readonly backward: number;
}

/**
 * What bounds the composite gains of L sublayers, each the absolute value of a sum over a row or a column of the
 * product of their H:
 *
 *   rows (columns) of each H sum to one      so do those of the product:  forward (backward) = 1
 *   and no entry is below zero               then no entry of the product exceeds 1:  the other one ≤ n
 *   ‖H‖₂ ≤ σ                                 ‖product‖₂ ≤ σ^L, and |Σ_j P_ij| ≤ √n ‖P‖₂:  both ≤ √n σ^L
 *
 * The least that applies.
 */
export function gainBound(
  { rows, columns, nonNegative, spectralNorm, gain }: Guarantee,
  n: number,
  L: number,
): GainBound {
  if (gain) return gain(n, L);
  const norm = spectralNorm(n) ?? Infinity;
  const bySpectrum = norm === Infinity ? Infinity : Math.sqrt(n) * norm ** L;
  const bound = (own: boolean, other: boolean): number =>
    own ? 1 : Math.min(bySpectrum, other && nonNegative ? n : Infinity);
  return { forward: bound(rows, columns), backward: bound(columns, rows) };
}

/** A choice for H_res. */
export interface ResidualMap {
  /** S, the number of logits of a token; 0 where H is the same whatever is learned. */
  size(n: number): number;
  /** How many of them, the last ones, are the same for all tokens of a sublayer. Default 0. */
  fixed?(n: number): number;
  /**
   * Whether the last of the fixed logits is no learned number but a share, from 1 (the guarantee with its slack) to 0
   * (without), which a connection may let fall while it trains. Default false.
   */
  readonly annealed?: boolean;
  /** How far the learned ones of the fixed logits [K] leave the set without slack, from 0 to 1: []. */
  departure?(fixed_K: Tensor, n: number): Tensor;
  /** Logits [T, S] → H [T, n·n]. Not called when S is 0: H is then the identity. */
  project(logits_TS: Tensor, n: number): Tensor;
  /** S logits to start from, where H is close to the identity but the gradient is not zero. */
  bias(n: number): number[];
  /** Whether it normalises exp(logits), so that the H_res logits of a named start of mHC suit it. Default false. */
  readonly exponential?: boolean;
  readonly guarantee: Guarantee;
  /** Whether the map exists for n streams; a string gives the reason when it does not. */
  supports(n: number): true | string;
}

/** Throw unless a map exists for n streams. */
export function expectSupport(name: string, map: ResidualMap, n: number): void {
  const answer = map.supports(n);
  if (answer !== true) throw new RangeError(`residual map ${name}: ${answer} Got ${n} streams.`);
}

export const anyStreams = (): true => true;

/** Bounds for guarantees: no bound of the spectral norm, one, and √n. */
export const unbounded = (): undefined => undefined;
export const atMostOne = (): number => 1;
export const atMostRoot = (n: number): number => Math.sqrt(n);

/** A row-major matrix by its entries. */
export function matrixOf(rows: number, columns: number, entry: (row: number, column: number) => number): number[] {
  return Array.from({ length: rows * columns }, (_, at) => entry(Math.floor(at / columns), at % columns));
}

/** Logits whose softmax gives the first of `count` choices the weight `first`; the others share the rest equally. */
export function mostlyFirst(count: number, first: number): number[] {
  return Array.from({ length: count }, (_, i) =>
    i === 0 && count > 1 ? Math.log(((count - 1) * first) / (1 - first)) : 0,
  );
}

/** Weight of the identity at the start of the maps that mix it with other matrices. */
export const IDENTITY_WEIGHT = 0.95;
