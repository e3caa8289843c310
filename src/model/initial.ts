// Question: how large are the weights of a model at the start?

export const DEVIATION = 0.02;

/** Output projections start smaller in a deeper model, so that the sum over sublayers keeps its size (GPT-2). */
export function outputDeviation({ layers }: { readonly layers: number }): number {
  return DEVIATION / Math.sqrt(2 * layers);
}
