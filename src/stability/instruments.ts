// Question: what do the instruments see of a model at one step?
//
// Definitions: the gains as in gains.ts (mHC paper, section 3.1); all other values over the tokens of one
// sequence, the first of the step's batch, before the update. Lists hold one value a sublayer, in order of
// depth (attention and feed-forward count separately). What is said of the streams that enter a sublayer is
// read off their Gram matrix over the sequence, G_ij = Σ_t <x_ti, x_tj>:
//
//   cosine     mean over i ≠ j of G_ij / √(G_ii G_jj)
//   effective  (Σ λ_k)² / Σ λ_k² = (tr G)² / ‖G‖²     λ_k its eigenvalues: 1 when all streams are multiples
//                                                     of one, n when they are orthogonal and equally long
//   dominant   max G_ii / tr G
//
// Legend: n streams, C channels, J the matrix of ones; H_res of a sublayer is n × n, row = output stream.

import { eigenvalueModuli } from "./eigenvalues.ts";
import { type Gains, gainsOf, type GainPair, meanProducts, runsOf, streamsIn } from "./gains.ts";

/** Norms of a group of parameters, and of what the step did to them. */
export interface GroupNorms {
  /** Euclidean norm of the group's gradients, before clipping. */
  readonly gradient: number;
  /** Euclidean norm of its values before the update. */
  readonly weight: number;
  /** Euclidean norm of the update, a share of `weight`. */
  readonly update: number;
}

/** What was measured at one step. Fields are absent where a connection has nothing of the kind. */
export interface Instruments {
  /** Positions in the network, from 0, of the sublayers that mix streams; absent when all do. */
  readonly sublayers?: readonly number[];

  // One value a sublayer that mixes streams.
  /** Amax gains of each H_res. */
  readonly single?: GainPair;
  /** Amax gains of the products: forward of H_l ⋯ H_1, backward of H_L ⋯ H_l. */
  readonly composite?: GainPair;
  /** Token mean of H_res, [n²] row-major. */
  readonly mixing?: readonly (readonly number[])[];
  /** Token mean of the product H_l ⋯ H_1, [n²] row-major. */
  readonly product?: readonly (readonly number[])[];
  /** Largest |row sum − 1| and |column sum − 1| of any token's H_res. */
  readonly rowError?: readonly number[];
  readonly columnError?: readonly number[];
  /** Smallest and largest logit of H_res of any token, before it is normalised: saturation; null where the map has none. */
  readonly smallestLogit?: readonly (number | null)[];
  readonly largestLogit?: readonly (number | null)[];
  /** Token mean of |λ₂|, the second largest modulus of an eigenvalue of H_res. */
  readonly secondEigenvalue?: readonly number[];
  /** Token mean of ‖H_l ⋯ H_1 − J/n‖ (Frobenius): 0 when nothing but the streams' mean is left. */
  readonly distance?: readonly number[];
  /** Token mean of H_pre and H_post, [n]. */
  readonly read?: readonly (readonly number[])[];
  readonly write?: readonly (readonly number[])[];
  /** Mean cosine between two different streams that enter the sublayer. */
  readonly streamCosine?: readonly number[];
  /** Effective number of streams: the participation ratio (Σλ)² / Σλ² of the eigenvalues of their n × n Gram matrix. */
  readonly effectiveStreams?: readonly number[];
  /** Share of the largest stream in the sum of the streams' squared norms. */
  readonly dominantShare?: readonly number[];

  // One value for every sublayer of the network.
  /** Root mean square of what the block reads, before its norm. */
  readonly activation?: readonly number[];
  /** Root mean square of the block's result. */
  readonly blockOutput?: readonly number[];
  /** Norm of the gradients of all parameters of the sublayer, before clipping. */
  readonly gradient?: readonly number[];

  /** By role of the parameters: weight, embedding, norm, connection. */
  readonly groups?: Readonly<Record<string, GroupNorms>>;
}

/** Sums of squares of a group of parameters. */
export interface GroupSquares {
  readonly gradient: number;
  readonly weight: number;
  readonly update: number;
}

/** A sublayer that mixes streams, as it was observed on the tokens of one sequence. */
export interface ObservedMixing {
  /** Position in the network, from 0. */
  readonly index: number;
  /** Position of the first sublayer that hands the streams on to this one; products do not cross it. */
  readonly run: number;
  /** [tokens, n² + 2n] */
  readonly coefficients: ArrayLike<number>;
  /** The logits of H_res, any number a token; absent where there are none. */
  readonly logits?: ArrayLike<number>;
  /** Inner products of the streams that enter, token by token: [tokens, n, n]; absent where they are not known. */
  readonly products?: ArrayLike<number>;
}

type MixingFields = Omit<Instruments, "activation" | "blockOutput" | "gradient" | "groups">;
/** Fields with one entry for each sublayer of a run. */
type RunFields = Omit<Required<MixingFields>, "sublayers" | "streamCosine" | "effectiveStreams" | "dominantShare">;

/**
 * Everything that coefficients, logits and streams tell of the sublayers that mix.
 *
 * @param sublayers those that mix, in order of depth
 * @param depth how many sublayers the network has
 * @param tokens length of the sequence
 * @returns no field at all when none mixes
 */
export function measureMixing(sublayers: readonly ObservedMixing[], depth: number, tokens: number): MixingFields {
  if (sublayers.length === 0) return {};
  const runs = runsOf(sublayers).map((run) => measureRun(run, tokens));
  const all = <K extends keyof RunFields>(field: K): RunFields[K][] => runs.map((run) => run[field]);
  const streams = sublayers.flatMap((sublayer) => {
    const { products } = sublayer;
    return products ? [streamUse(gramOf(products, streamsIn(sublayer, tokens)), streamsIn(sublayer, tokens))] : [];
  });
  return {
    ...(sublayers.length < depth ? { sublayers: sublayers.map(({ index }) => index) } : {}),
    single: joined(all("single")),
    composite: joined(all("composite")),
    mixing: all("mixing").flat(),
    product: all("product").flat(),
    rowError: all("rowError").flat(),
    columnError: all("columnError").flat(),
    smallestLogit: all("smallestLogit").flat(),
    largestLogit: all("largestLogit").flat(),
    secondEigenvalue: all("secondEigenvalue").flat(),
    distance: all("distance").flat(),
    read: all("read").flat(),
    write: all("write").flat(),
    ...(streams.length === sublayers.length
      ? {
          streamCosine: streams.map(({ cosine }) => cosine),
          effectiveStreams: streams.map(({ effective }) => effective),
          dominantShare: streams.map(({ dominant }) => dominant),
        }
      : {}),
  };
}

function joined(pairs: readonly GainPair[]): GainPair {
  return {
    forward: pairs.flatMap(({ forward }) => forward),
    backward: pairs.flatMap(({ backward }) => backward),
  };
}

/** Sublayers that pass their streams on to each other. */
function measureRun(run: readonly ObservedMixing[], tokens: number): RunFields {
  const n = streamsIn(run[0]!, tokens);
  const zeros = (): number[] => run.map(() => 0);
  const [rowError, columnError, secondEigenvalue, distance] = [zeros(), zeros(), zeros(), zeros()];
  const coefficients = run.map((sublayer) => sublayer.coefficients);
  const means = meanProducts(coefficients, n, tokens, (layer, mixing, product) => {
    const { row, column } = sumErrors(mixing, n);
    rowError[layer] = Math.max(rowError[layer]!, row);
    columnError[layer] = Math.max(columnError[layer]!, column);
    secondEigenvalue[layer]! += secondModulus(mixing, n) / tokens;
    distance[layer]! += distanceToMean(product, n) / tokens;
  });
  const gains: Gains = gainsOf(means, n);
  const logits = run.map((sublayer) => (sublayer.logits ? extremes(sublayer.logits) : undefined));
  return {
    ...gains,
    mixing: means.single.map((matrix) => [...matrix]),
    product: means.forward.map((matrix) => [...matrix]),
    rowError,
    columnError,
    secondEigenvalue,
    distance,
    smallestLogit: logits.map((found) => found?.smallest ?? null),
    largestLogit: logits.map((found) => found?.largest ?? null),
    read: coefficients.map((own) => meanColumns(own, n, 0, tokens)),
    write: coefficients.map((own) => meanColumns(own, n, n, tokens)),
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

/** How streams are used, from their Gram matrix [n, n]; formulas at the top. Streams of zeros have cosine 0 and share 0. */
export function streamUse(gram: ArrayLike<number>, n: number): { cosine: number; effective: number; dominant: number } {
  let [trace, squares, largest, cosines] = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    const own = gram[i * n + i]!;
    trace += own;
    largest = Math.max(largest, own);
    for (let j = 0; j < n; j++) {
      const product = gram[i * n + j]!;
      squares += product * product;
      if (i !== j && product !== 0) cosines += product / Math.sqrt(own * gram[j * n + j]!);
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

function extremes(values: ArrayLike<number>): { smallest: number; largest: number } {
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

/** As many digits as float32 carries: what a record keeps of each number. */
export function rounded(instruments: Instruments): Instruments {
  const round = (value: unknown): unknown => {
    if (typeof value === "number") return Number(value.toPrecision(7));
    if (Array.isArray(value)) return value.map(round);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, round(each)]));
  };
  return round(instruments) as Instruments;
}
