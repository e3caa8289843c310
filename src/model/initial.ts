// Question: how widely do the weights of a model start?

export const DEVIATION = 0.02;

/** Output projections start smaller the deeper the model, so the sum over sublayers keeps its size (GPT-2). */
export function outputDeviation({ layers }: { readonly layers: number }): number {
  return DEVIATION / Math.sqrt(2 * layers);
}
