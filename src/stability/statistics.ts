// Question: where is the middle of these numbers, and how far do they lie around it? NaN for too few.

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Of an even number the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const last = sorted.length - 1;
  return last < 0 ? Number.NaN : (sorted[last >> 1]! + sorted[(last + 1) >> 1]!) / 2;
}

/** Variance of what at least two values are drawn from: over n − 1. */
export function sampleVariance(values: readonly number[]): number {
  const middle = mean(values);
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1);
}
