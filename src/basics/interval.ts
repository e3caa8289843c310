// Question: how sure is a mean of a few measurements?
//
//   mean ± t s / √k     s the sample's standard deviation, t Student's quantile of k − 1 degrees of freedom
//
// It holds the true mean in 95 of 100 cases where the measurements are independent and roughly normal.

import { mean, sampleVariance } from "./numbers.ts";

/** A mean with half of its 95 % interval; without it where there is only one measurement. */
export interface Estimate {
  readonly mean: number;
  readonly half?: number;
}

/** Student's 97.5 % quantiles for 1 to 30 degrees of freedom. */
const quantiles: readonly number[] = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL = 1.96;

/** @param values at least one */
export function estimate(values: readonly number[]): Estimate {
  const count = values.length;
  if (count < 2) return { mean: mean(values) };
  const quantile = quantiles[count - 2] ?? NORMAL;
  return { mean: mean(values), half: quantile * Math.sqrt(sampleVariance(values) / count) };
}

/**
 * A number of all measurements together, with an interval by the jackknife: how much it changes when one is left out.
 *
 * @param values at least one
 * @param of the number of some of them
 * @param least how many values the number needs: with no more there is no interval
 */
export function jackknife<V>(values: readonly V[], of: (kept: readonly V[]) => number, least: number): Estimate {
  const count = values.length;
  const whole = of(values);
  if (count <= least) return { mean: whole };
  const without = values.map((_, left) => of(values.filter((_, at) => at !== left)));
  const deviation = Math.sqrt((sampleVariance(without) * (count - 1) ** 2) / count);
  return { mean: whole, half: (quantiles[count - 2] ?? NORMAL) * deviation };
}
