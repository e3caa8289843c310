// Question: how much can the stream mixing amplify a signal, forwards and backwards?
//
// Amax gain (mHC paper, section 3.1): forward = max over rows |row sum|, backward = max over columns
// |column sum| of a mixing matrix (signed sums). Single: one sublayer's H_res. Composite: forward at l
// is the product H_l ⋯ H_1 (the later sublayer on the left), backward at l is H_L ⋯ H_l. Products are
// computed token by token and averaged over the tokens of one sequence before the sums, like the matrices
// in the paper's Fig. 8.
//
// Shapes: coefficients_TM per sublayer, M = n² + 2n as pre | post | res (res row-major).

import { MOST_STREAMS, MOST_TOKENS } from "../basics/bounds.ts";
import { expectWhole } from "../basics/ranges.ts";
import { expectSquare } from "./square.ts";

/** A gain in each direction for every sublayer. */
export interface GainPair {
  /** One value a sublayer, in order of depth. */
  readonly forward: readonly number[];
  readonly backward: readonly number[];
}

/** Amax gains of single sublayers and of their products. */
export interface Gains {
  readonly single: GainPair;
  readonly composite: GainPair;
}

/**
 * Amax gain (mHC, arXiv 2512.24880, section 3.1): largest |row sum| and largest |column sum|, signed sums.
 *
 * @param matrix n × n, row-major, row = output stream
 */
export function amaxGain(matrix: ArrayLike<number>, n: number): { forward: number; backward: number } {
  expectSquare("amaxGain", matrix, n);
  let forward = 0;
  let backward = 0;
  for (let i = 0; i < n; i++) {
    let row = 0;
    let column = 0;
    for (let j = 0; j < n; j++) {
      row += matrix[i * n + j]!;
      column += matrix[j * n + i]!;
    }
    forward = Math.max(forward, Math.abs(row));
    backward = Math.max(backward, Math.abs(column));
  }
  return { forward, backward };
}

/** Matrices [n²] averaged over tokens, one a sublayer l. */
export interface MeanProducts {
  /** H_l. */
  readonly single: readonly Float64Array[];
  /** H_l ⋯ H_1. */
  readonly forward: readonly Float64Array[];
  /** H_L ⋯ H_l. */
  readonly backward: readonly Float64Array[];
}

/** Called for every token and sublayer, tokens first, with H_res and H_l ⋯ H_1, which change after the call. */
export type Visit = (layer: number, mixing: Float64Array, product: Float64Array) => void;

/**
 * The matrices of a network and their products, averaged over tokens.
 *
 * @param coefficients one array [tokens, n² + 2n] a sublayer, in order of depth; the first `tokens` rows are used
 */
export function meanProducts(
  coefficients: readonly ArrayLike<number>[],
  n: number,
  tokens: number,
  visit?: Visit,
): MeanProducts {
  const size = n * n;
  const width = size + 2 * n;
  const matrices = (): Float64Array[] => coefficients.map(() => new Float64Array(size));
  const [single, forward, backward, mixing] = [matrices(), matrices(), matrices(), matrices()];
  for (let token = 0; token < tokens; token++) {
    let product: Float64Array | undefined;
    for (const [layer, mixer] of mixing.entries()) {
      for (let i = 0; i < size; i++) mixer[i] = coefficients[layer]![token * width + 2 * n + i]!;
      accumulate(single[layer]!, mixer);
      product = product ? times(mixer, product, n) : mixer;
      accumulate(forward[layer]!, product);
      visit?.(layer, mixer, product);
    }
    product = undefined;
    for (let layer = mixing.length - 1; layer >= 0; layer--) {
      product = product ? times(product, mixing[layer]!, n) : mixing[layer]!;
      accumulate(backward[layer]!, product);
    }
  }
  const mean = (sums: Float64Array[]): Float64Array[] => sums.map((matrix) => matrix.map((sum) => sum / tokens));
  return { single: mean(single), forward: mean(forward), backward: mean(backward) };
}

/** The Amax gains of averaged matrices. */
export function gainsOf({ single, forward, backward }: MeanProducts, n: number): Gains {
  const gain = (matrices: readonly Float64Array[], way: "forward" | "backward"): number[] =>
    matrices.map((matrix) => amaxGain(matrix, n)[way]);
  return {
    single: { forward: gain(single, "forward"), backward: gain(single, "backward") },
    composite: { forward: gain(forward, "forward"), backward: gain(backward, "backward") },
  };
}

/**
 * Gains of a network from the coefficients of its sublayers, the matrices and products averaged over tokens.
 *
 * @param coefficients one array [tokens, n² + 2n] a sublayer, in order of depth; the first `tokens` rows are used
 * @param n streams
 * @param tokens length of the sequence to average over
 * @throws RangeError when an array has fewer numbers than the tokens need
 * @returns one value a sublayer l: composite forward of H_l ⋯ H_1, backward of H_L ⋯ H_l
 */
export function measureGains(coefficients: readonly ArrayLike<number>[], n: number, tokens: number): Gains {
  expectWhole("measureGains", "n", n, 1, MOST_STREAMS);
  expectWhole("measureGains", "tokens", tokens, 1, MOST_TOKENS);
  const needed = tokens * (n * n + 2 * n);
  for (const [at, { length }] of coefficients.entries())
    if (!(length >= needed))
      throw new RangeError(
        `measureGains: the coefficients of sublayer ${at} are ${length} numbers; ${tokens} tokens of ${n} streams have ${needed}, n² + 2n each. Give [tokens, n² + 2n].`,
      );
  return gainsOf(meanProducts(coefficients, n, tokens), n);
}

/** Coefficients [tokens, M] of a sublayer that mixes streams, and where its run of neighbours begins. */
export interface MixingSublayer {
  /** Position in the network, from 0. */
  readonly index: number;
  /** Position of the first sublayer that hands the streams on to this one; products do not cross it. */
  readonly run: number;
  readonly coefficients: ArrayLike<number>;
}

/** Sublayers by their run; the sublayers of a run pass their streams on. */
export function runsOf<S extends Pick<MixingSublayer, "run">>(sublayers: readonly S[]): S[][] {
  return [...new Set(sublayers.map(({ run }) => run))].map((start) => sublayers.filter(({ run }) => run === start));
}

/** n, derived from coefficients [tokens, n² + 2n]. */
export function streamsIn({ coefficients }: Pick<MixingSublayer, "coefficients">, tokens: number): number {
  return Math.sqrt(coefficients.length / tokens + 1) - 1;
}

/** The largest composite gain, forward and backward; 1 for a network without stream mixing. */
export function largestComposite(gains: Partial<Gains> | undefined): { forward: number; backward: number } {
  if (!gains?.composite) return { forward: 1, backward: 1 };
  return { forward: Math.max(...gains.composite.forward), backward: Math.max(...gains.composite.backward) };
}

function accumulate(sum: Float64Array, matrix: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += matrix[i]!;
}

/** The product a b of two n × n matrices, row-major. */
export function times(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const c = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < n; k++) {
      for (let j = 0; j < n; j++) c[i * n + j]! += a[i * n + k]! * b[k * n + j]!;
    }
  }
  return c;
}
