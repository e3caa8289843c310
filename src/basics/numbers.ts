// Question: what number does a text say, and what are the sum, the median and the largest of many, the divisors and the next power of two?

/** A number as people write it, such as 12, -0.5 or 1e-3; NaN for all else, also for 0x10 and Infinity. */
export function parseDecimal(text: string): number {
  return /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text) ? Number(text) : Number.NaN;
}

/** The sum, added from first to last; 0 for an empty list. */
export function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let at = 0; at < values.length; at++) total += values[at] ?? 0;
  return total;
}

/** The largest absolute value; 0 for an empty list. */
export function largestMagnitude(values: ArrayLike<number>): number {
  let largest = 0;
  for (let at = 0; at < values.length; at++) largest = Math.max(largest, Math.abs(values[at] ?? 0));
  return largest;
}

/** The mean; NaN for an empty list. */
export function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

/** The median; the mean of the middle two for an even count, NaN for an empty list. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const last = sorted.length - 1;
  const [below = Number.NaN, above = Number.NaN] = [sorted[last >> 1], sorted[(last + 1) >> 1]];
  return (below + above) / 2;
}

/** The unbiased estimate of the variance (divided by n − 1); NaN for fewer than two values. */
export function sampleVariance(values: readonly number[]): number {
  const middle = mean(values);
  return sum(values.map((value) => (value - middle) ** 2)) / (values.length - 1);
}

/** The smallest power of two that is at least this number, which is above 0. */
export function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(least));
}

/** The divisors of a whole number of at least one, in ascending order; takes √value steps. */
export function divisors(value: number): number[] {
  const small: number[] = [];
  for (let part = 1; part * part <= value; part++) if (value % part === 0) small.push(part);
  const large = small.map((part) => value / part).reverse();
  return large[0] === small.at(-1) ? [...small, ...large.slice(1)] : [...small, ...large];
}
