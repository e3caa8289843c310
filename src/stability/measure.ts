// Question: what do the coefficients and streams of a network show at one step?
//
// Definitions: the gains are those of gains.ts (mHC paper, section 3.1); all other values are over the tokens of one
// sequence. Values about the streams that enter a sublayer come from their Gram matrix over the sequence,
// G_ij = Σ_t <x_ti, x_tj>:
//
//   cosine     mean over i ≠ j of G_ij / √(G_ii G_jj)
//   effective  (Σ λ_k)² / Σ λ_k² = (tr G)² / ‖G‖²     λ_k its eigenvalues: 1 when all streams are multiples
//                                                     of one, n when they are orthogonal and equally long
//   dominant   max G_ii / tr G
//
// Legend: n streams, C channels, J the matrix of ones; H_res of a sublayer is n × n, row = output stream.

import { eigenvalueModuli } from "./eigenvalues.ts";
import type { GroupNorms } from "./fields.ts";
import { type Gains, gainsOf, type GainPair, type MeanProducts, meanProducts, runsOf, streamsIn } from "./gains.ts";
import { type InstrumentName, type Instruments, type InstrumentTable } from "./instruments.ts";

/** Sums of squares of a group of parameters. */
export interface GroupSquares {
  readonly gradient: number;
  readonly weight: number;
  readonly update: number;
}

/** A sublayer that mixes streams, as observed on the tokens of one sequence. */
export interface ObservedMixing {
  /** Position in the network, from 0. */
  readonly index: number;
  /** Position of the first sublayer that hands the streams on to this one; products do not cross it. */
  readonly run: number;
  /** [tokens, n² + 2n] */
  readonly coefficients: ArrayLike<number>;
  /** The logits of H_res, any number per token; absent where H_res has none. */
  readonly logits?: ArrayLike<number>;
  /** Inner products of the streams that enter, token by token: [tokens, n, n]; absent where they are unknown. */
  readonly products?: ArrayLike<number>;
}

/** The instruments of sublayers that mix streams. */
type MixingName = {
  [K in InstrumentName]: InstrumentTable[K] extends { readonly of: "mixing" } ? K : never;
}[InstrumentName];
type Measures = Exclude<MixingName, "sublayers">;
type MixingFields = Pick<Instruments, MixingName>;

/** Sublayers that pass their streams on to each other. */
interface ObservedRun {
  readonly sublayers: readonly ObservedMixing[];
  /** The number of streams. */
  readonly streams: number;
  readonly tokens: number;
  readonly means: MeanProducts;
  readonly gains: Gains;
  readonly perToken: Readonly<Record<TokenMeasure, readonly number[]>>;
  /** How the streams that enter each sublayer are used; undefined where they are unknown. */
  readonly use: readonly StreamUse[] | undefined;
}

/** What is measured of every token's H_res and of the product up to it, and how the tokens' values are reduced. */
const tokenMeasures = {
  rowError: { over: "largest", of: (mixing: Float64Array, _: Float64Array, n: number) => sumErrors(mixing, n).row },
  columnError: {
    over: "largest",
    of: (mixing: Float64Array, _: Float64Array, n: number) => sumErrors(mixing, n).column,
  },
  secondEigenvalue: {
    over: "mean",
    of: (mixing: Float64Array, _: Float64Array, n: number) => secondModulus(mixing, n),
  },
  distance: { over: "mean", of: (_: Float64Array, product: Float64Array, n: number) => distanceToMean(product, n) },
} as const;
type TokenMeasure = keyof typeof tokenMeasures;

/** How each instrument is measured on a run, one value per sublayer; undefined where it is unknown. */
const measures: {
  readonly [K in Measures]: (run: ObservedRun) => Required<Instruments>[K] | undefined;
} = {
  single: ({ gains }) => gains.single,
  composite: ({ gains }) => gains.composite,
  mixing: ({ means }) => means.single.map((matrix) => [...matrix]),
  product: ({ means }) => means.forward.map((matrix) => [...matrix]),
  rowError: ({ perToken }) => perToken.rowError,
  columnError: ({ perToken }) => perToken.columnError,
  smallestLogit: ({ sublayers }) => sublayers.map(({ logits }) => (logits ? extremesOf(logits).smallest : null)),
  largestLogit: ({ sublayers }) => sublayers.map(({ logits }) => (logits ? extremesOf(logits).largest : null)),
  secondEigenvalue: ({ perToken }) => perToken.secondEigenvalue,
  distance: ({ perToken }) => perToken.distance,
  read: ({ sublayers, streams: n, tokens }) =>
    sublayers.map(({ coefficients }) => meanColumns(coefficients, n, 0, tokens)),
  write: ({ sublayers, streams: n, tokens }) =>
    sublayers.map(({ coefficients }) => meanColumns(coefficients, n, n, tokens)),
  streamCosine: ({ use }) => use?.map(({ cosine }) => cosine),
  effectiveStreams: ({ use }) => use?.map(({ effective }) => effective),
  dominantShare: ({ use }) => use?.map(({ dominant }) => dominant),
};

/**
 * Everything that coefficients, logits and streams show about the sublayers that mix.
 *
 * @param sublayers those that mix, in order of depth
 * @param depth how many sublayers the network has
 * @param tokens length of the sequence
 * @returns an empty object when none mixes
 */
export function measureMixing(sublayers: readonly ObservedMixing[], depth: number, tokens: number): MixingFields {
  if (sublayers.length === 0) return {};
  const runs = runsOf(sublayers).map((run) => observe(run, tokens));
  const fields = Object.entries(measures).flatMap(([name, measure]) => {
    const values = runs.map((run) => measure(run));
    return values.every((value) => value !== undefined) ? [[name, joined(values)] as const] : [];
  });
  const positions = sublayers.length < depth ? { sublayers: sublayers.map(({ index }) => index) } : {};
  return { ...positions, ...(Object.fromEntries(fields) as MixingFields) };
}

type Values = Required<Instruments>[Measures];

/** The values of all runs, in order of depth. */
function joined(values: readonly Values[]): Values {
  const pairs = values.filter((value): value is GainPair => !Array.isArray(value));
  return pairs.length > 0
    ? { forward: pairs.flatMap(({ forward }) => forward), backward: pairs.flatMap(({ backward }) => backward) }
    : (values.flat() as Values);
}

function observe(sublayers: readonly ObservedMixing[], tokens: number): ObservedRun {
  const n = streamsIn(sublayers[0]!, tokens);
  const names = Object.keys(tokenMeasures) as TokenMeasure[];
  const perToken = Object.fromEntries(names.map((name) => [name, sublayers.map(() => 0)])) as Record<
    TokenMeasure,
    number[]
  >;
  const coefficients = sublayers.map((sublayer) => sublayer.coefficients);
  const means = meanProducts(coefficients, n, tokens, (layer, mixing, product) => {
    for (const name of names) {
      const { over, of } = tokenMeasures[name];
      const [values, value] = [perToken[name], of(mixing, product, n)];
      values[layer] = over === "mean" ? values[layer]! + value / tokens : Math.max(values[layer]!, value);
    }
  });
  const use = sublayers.flatMap(({ products }) => (products ? [streamUse(gramOf(products, n), n)] : []));
  return {
    sublayers,
    streams: n,
    tokens,
    means,
    gains: gainsOf(means, n),
    perToken,
    use: use.length === sublayers.length ? use : undefined,
  };
}

/** The largest |row sum − 1| and |column sum − 1| of an n × n matrix. */
export function sumErrors(matrix: ArrayLike<number>, n: number): { row: number; column: number } {
  let [row, column] = [0, 0];
  for (let i = 0; i < n; i++) {
    let [alongRow, alongColumn] = [0, 0];
    for (let j = 0; j < n; j++) {
      alongRow += matrix[i * n + j]!;
      alongColumn += matrix[j * n + i]!;
    }
    row = Math.max(row, Math.abs(alongRow - 1));
    column = Math.max(column, Math.abs(alongColumn - 1));
  }
  return { row, column };
}

/** |λ₂|, the second largest modulus of an eigenvalue; 0 for a single stream, which has only one. */
export function secondModulus(matrix: ArrayLike<number>, n: number): number {
  return eigenvalueModuli(matrix, n)[1] ?? 0;
}

/** ‖H − J/n‖ (Frobenius) of an n × n matrix. */
export function distanceToMean(matrix: ArrayLike<number>, n: number): number {
  let squares = 0;
  for (let i = 0; i < n * n; i++) squares += (matrix[i]! - 1 / n) ** 2;
  return Math.sqrt(squares);
}

/** How alike streams are. */
export interface StreamUse {
  readonly cosine: number;
  readonly effective: number;
  readonly dominant: number;
}

/** How streams are used, from their Gram matrix [n, n]; formulas at the top. Streams of zeros have cosine 0 and share 0. */
export function streamUse(gram: ArrayLike<number>, n: number): StreamUse {
  let [trace, squares, largest, cosines] = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    const energy = gram[i * n + i]!;
    trace += energy;
    largest = Math.max(largest, energy);
    for (let j = 0; j < n; j++) {
      const product = gram[i * n + j]!;
      squares += product * product;
      if (i !== j && product !== 0) cosines += product / Math.sqrt(energy * gram[j * n + j]!);
    }
  }
  return {
    cosine: n === 1 ? 1 : cosines / (n * (n - 1)),
    effective: squares === 0 ? 0 : (trace * trace) / squares,
    dominant: trace === 0 ? 0 : largest / trace,
  };
}

/** Σ over tokens of [tokens, n, n]. */
function gramOf(products: ArrayLike<number>, n: number): Float64Array {
  const gram = new Float64Array(n * n);
  for (let at = 0; at < products.length; at++) gram[at % (n * n)]! += products[at]!;
  return gram;
}

function extremesOf(values: ArrayLike<number>): { smallest: number; largest: number } {
  let [smallest, largest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let at = 0; at < values.length; at++) {
    smallest = Math.min(smallest, values[at]!);
    largest = Math.max(largest, values[at]!);
  }
  return { smallest, largest };
}

/** Token mean of n coefficients from `offset` on. */
function meanColumns(coefficients: ArrayLike<number>, n: number, offset: number, tokens: number): number[] {
  const width = n * n + 2 * n;
  return Array.from({ length: n }, (_, j) => {
    let sum = 0;
    for (let token = 0; token < tokens; token++) sum += coefficients[token * width + offset + j]!;
    return sum / tokens;
  });
}

/** Norms from sums of squares. */
export function groupNorms({ gradient, weight, update }: GroupSquares): GroupNorms {
  return {
    gradient: Math.sqrt(gradient),
    weight: Math.sqrt(weight),
    update: update === 0 ? 0 : Math.sqrt(update / weight),
  };
}
