// Question: does one model do better than another, or is it chance?
//
// Both answer the same examples, so their difference is taken example by example:
//
//   d_i = x_i(model) − x_i(first model),   mean ± 1.96 · s(d) / √n
//
// That is a 95 % interval of the mean. It is narrower than that of two separate means where the models are right about
// the same examples. A group's examples count alike, whatever their task.

import { meanError, valuesOf } from "./results.ts";
import type { ExampleVerdict } from "./samples.ts";

/** A mean difference with its 95 % interval; without one where there is a single example. */
export interface Difference {
  readonly mean: number;
  readonly low?: number;
  readonly high?: number;
  readonly examples: number;
}

/** Standard errors of a normal distribution within which 95 % of it lie. */
const WIDTH = 1.96;

/**
 * The difference of a metric.
 *
 * @param key metric and filter, such as "acc,none"
 * @param first verdicts of the first model, of the same examples in the same order
 */
export function difference(
  key: string,
  verdicts: readonly ExampleVerdict[],
  first: readonly ExampleVerdict[],
): Difference {
  const [values, others] = [valuesOf(verdicts).get(key) ?? [], valuesOf(first).get(key) ?? []];
  if (values.length === 0 || values.length !== others.length)
    throw new RangeError(
      `difference: ${values.length} and ${others.length} values of ${key} are given; they must be of the same examples.`,
    );
  const differences = values.map((value, index) => value - others[index]!);
  const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
  const error = meanError(differences);
  return {
    mean,
    ...(error !== undefined && { low: mean - WIDTH * error, high: mean + WIDTH * error }),
    examples: differences.length,
  };
}
