// Question: where do the learned maps of a connection start?
//
// The papers give α = 0.01 and nothing else. This library's default for mHC starts close to the pre-norm
// residual and makes the streams different, because equal streams with equal coefficients get equal
// gradients and remain copies of each other for ever. For sublayer l with k = l mod n:
//   H_res  logits 4 on the diagonal, 0 off it: at n = 4 a diagonal of 0.948, far from saturation
//   H_pre  0.7 for stream k, 0.3 shared by the others: the weights sum to one
//   H_post 1.6 for stream k, the others share what keeps the mean at one
// H_res keeps the mean of the streams (its columns sum to one), so with the mean collapse every
// sublayer adds F with weight exactly one, as pre-norm does; only what F reads is a weighted mean.

export const ALPHA = 0.01;

/** Standard deviation of the dynamic part φ at the start. */
export const PHI_DEVIATION = 0.02;

/** Logit of the diagonal of H_res. */
export const RES_DIAGONAL = 4;

/** The share of stream k = l mod n in what sublayer l reads. */
export const READ_OWN = 0.7;
const WRITE_OWN = 1.6;

export function logit(p: number): number {
  return Math.log(p / (1 - p));
}

export function oneHot(size: number, index: number): number[] {
  return Array.from({ length: size }, (_, i) => (i === index ? 1 : 0));
}

/** n × n, row-major, `diagonal` on the diagonal and 0 off it. */
export function identityMatrix(n: number, diagonal: number): number[] {
  return Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? diagonal : 0));
}

/** The bias [pre | post | res] of an mHC sublayer; see the head of this file. The default `res` is for Sinkhorn-Knopp. */
export function mhcBias(n: number, index: number, res: readonly number[] = identityMatrix(n, RES_DIAGONAL)): number[] {
  const stream = index % n;
  const spread = (forStream: number, total: number): number[] =>
    Array.from({ length: n }, (_, i) => (i === stream ? forStream : (total - forStream) / (n - 1)));
  // With one stream there is nothing to share: read (almost) all of it, write exactly once.
  const pre = n === 1 ? [0.999] : spread(READ_OWN, 1);
  const post = n === 1 ? [1] : spread(WRITE_OWN, n);
  return [...pre.map(logit), ...post.map((p) => logit(p / 2)), ...res];
}
