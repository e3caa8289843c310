// Question: after T iterations of Sinkhorn-Knopp, how far apart are the two ways to compute its gradient?
//
// The unrolled gradient is exactly that of the result, the implicit one is that of the limit
// (ops/sinkhorn-implicit.ts). They agree to the extent that the columns sum to one, which depends on the spread of
// the logits more than on T. Everything is in float64, on normal logits and cotangents drawn by seed.

import { MOST_ITERATIONS, MOST_STREAMS } from "../basics/bounds.ts";
import { expectFields, expectGiven, type FieldRules } from "../basics/fields.ts";
import { expectAmount, expectWhole } from "../basics/ranges.ts";
import { largestMagnitude } from "../basics/numbers.ts";
import { normal, streams } from "../data/random.ts";
import { implicitGradient } from "../ops/entropic-backward.ts";
import { sinkhornGradient, sinkhornIterates } from "../ops/sinkhorn.ts";

/** Which Sinkhorn-Knopp, and on which logits. */
export interface SinkhornErrorOptions {
  /** T, the number of iterations. */
  readonly iterations: number;
  /** Standard deviation of the logits. */
  readonly scale: number;
  /** n, the number of streams. Default 4. */
  readonly streams?: number;
  /** Number of matrices. Default 1000. */
  readonly samples?: number;
  /** Seed of the logits and the cotangents. Default 1. */
  readonly seed?: number;
}

const optionRules: FieldRules<SinkhornErrorOptions> = {
  iterations: "number",
  scale: "number",
  streams: "number",
  samples: "number",
  seed: "number",
};

/** The most matrices: more take hours. */
const MOST_SAMPLES = 2 ** 24;

/** The median, the 99th percentile and the largest of all matrices' errors. */
export interface Spread {
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

/** The errors that the iterations leave, forwards and backwards. */
export interface SinkhornError {
  /** Largest |column sum − 1| of a matrix. */
  readonly columns: Spread;
  /** Largest |implicit − unrolled| of a matrix's gradient, divided by the largest entry of the unrolled one. */
  readonly gradient: Spread;
}

/**
 * How far Sinkhorn-Knopp is from its limit, and its implicit gradient from the unrolled one, measured in
 * float64 on normal logits drawn by seed.
 *
 * @throws RangeError unless there are one or more samples and iterations
 */
export function sinkhornError(options: SinkhornErrorOptions): SinkhornError {
  expectFields("sinkhornError", options, optionRules);
  const { iterations, scale, streams: n = 4, samples = 1000, seed = 1 } = options;
  expectGiven("sinkhornError", options, optionRules, ["iterations", "scale"]);
  expectWhole("sinkhornError", "iterations", iterations, 1, MOST_ITERATIONS);
  expectWhole("sinkhornError", "streams", n, 1, MOST_STREAMS);
  expectWhole("sinkhornError", "samples", samples, 1, MOST_SAMPLES);
  expectWhole("sinkhornError", "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  expectAmount("sinkhornError", "scale", scale);
  const columns = new Float64Array(samples);
  const gradient = new Float64Array(samples);
  let counter = 0;
  const draw = (deviation: number): Float64Array =>
    Float64Array.from({ length: n * n }, () => deviation * normal(seed, streams.studies, counter++));
  for (let sample = 0; sample < samples; sample++) {
    const [logits, cotangent] = [draw(scale), draw(1)];
    const result = sinkhornIterates(logits, n, iterations)[2 * iterations]!;
    const unrolled = sinkhornGradient(logits, cotangent, n, iterations);
    const implicit = implicitGradient(result, cotangent, n);
    const sums = new Float64Array(n);
    result.forEach((value, at) => (sums[at % n]! += value));
    columns[sample] = largestMagnitude(sums.map((sum) => sum - 1));
    gradient[sample] =
      largestMagnitude(implicit.map((value, at) => value - unrolled[at]!)) /
      Math.max(largestMagnitude(unrolled), Number.MIN_VALUE);
  }
  return { columns: spread(columns), gradient: spread(gradient) };
}

function spread(values: Float64Array): Spread {
  const sorted = values.toSorted();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  return { median: at(0.5), p99: at(0.99), max: at(1) };
}
