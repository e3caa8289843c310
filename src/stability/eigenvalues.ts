// Question: how large are the eigenvalues of a small matrix that need not be symmetric?
//
// Householder reflections bring it to Hessenberg form (zeros below the first subdiagonal). Francis' implicit
// double-shift QR steps then drive subdiagonal entries to zero, which leaves blocks of one real eigenvalue or
// of two, real or a complex pair (Golub and Van Loan, Matrix Computations, section 7.5). All in float64, for
// the n × n matrices of stream mixing, n ≤ 32.

import { expectSquare } from "./square.ts";

/** Steps for one eigenvalue, with an unusual shift every tenth, before it is given up; three are usual. */
const STEPS = 60;
/** Smaller numbers, in a matrix whose largest entry is one, count as zero: their squares would not be normal numbers. */
const TINY = 1e-150;

/**
 * The moduli of all eigenvalues, largest first. A defective eigenvalue of multiplicity k has an error of about
 * ε^(1/k), as with any such method.
 *
 * @param matrix n × n, row-major
 * @returns n values; all NaN where an entry is not finite
 */
export function eigenvalueModuli(matrix: ArrayLike<number>, n: number): number[] {
  expectSquare("eigenvalueModuli", matrix, n);
  // Plain loops: this runs for every token and sublayer of a reading.
  let size = 0;
  for (let at = 0; at < n * n; at++) size = Math.max(size, Math.abs(matrix[at]!));
  if (!Number.isFinite(size)) return Array<number>(n).fill(Number.NaN);
  if (size === 0) return Array<number>(n).fill(0);
  const h = new Float64Array(n * n);
  for (let at = 0; at < h.length; at++) h[at] = matrix[at]! / size;
  toHessenberg(h, n);
  const result = moduli(h, n);
  for (let k = 0; k < n; k++) result[k]! *= size;
  return result.sort((a, b) => b - a);
}

/** H = Qᵀ A Q with H_ij = 0 for i > j + 1, in place. */
function toHessenberg(h: Float64Array, n: number): void {
  const v = new Float64Array(n);
  for (let k = 0; k + 2 < n; k++) {
    let squares = 0;
    for (let i = k + 1; i < n; i++) squares += (v[i] = h[i * n + k]!) ** 2;
    const length = Math.sqrt(squares);
    if (length < TINY) continue;
    v[k + 1]! += v[k + 1]! < 0 ? -length : length;
    let norm = 0;
    for (let i = k + 1; i < n; i++) norm += v[i]! * v[i]!;
    for (let j = k; j < n; j++) {
      let sum = 0;
      for (let i = k + 1; i < n; i++) sum += v[i]! * h[i * n + j]!;
      sum *= 2 / norm;
      for (let i = k + 1; i < n; i++) h[i * n + j]! -= sum * v[i]!;
    }
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += h[i * n + j]! * v[j]!;
      sum *= 2 / norm;
      for (let j = k + 1; j < n; j++) h[i * n + j]! -= sum * v[j]!;
    }
    for (let i = k + 2; i < n; i++) h[i * n + k] = 0;
  }
}

/** Moduli of the eigenvalues of a Hessenberg matrix, which is overwritten. */
function moduli(h: Float64Array, n: number): number[] {
  const result: number[] = [];
  let end = n - 1;
  let steps = 0;
  while (end >= 0) {
    let start = end;
    while (start > 0) {
      const beside = Math.abs(h[(start - 1) * n + start - 1]!) + Math.abs(h[start * n + start]!);
      if (Math.abs(h[start * n + start - 1]!) <= Math.max(TINY, Number.EPSILON * (beside || 1))) break;
      start--;
    }
    if (start === end) {
      result.push(Math.abs(h[end * n + end]!));
      end -= 1;
      steps = 0;
    } else if (start === end - 1) {
      result.push(...moduliOfPair(h, n, end));
      end -= 2;
      steps = 0;
    } else if (steps++ === STEPS) {
      // This was never seen. The diagonal of the block is then the best answer.
      while (end >= start) result.push(Math.abs(h[end * n + end--]!));
      steps = 0;
    } else {
      francisStep(h, n, start, end, steps % 10 === 0);
    }
  }
  return result;
}

/** For the 2 × 2 block that ends on the diagonal at `end`: real eigenvalues, or a complex pair with modulus √det. */
function moduliOfPair(h: Float64Array, n: number, end: number): [number, number] {
  const at = (end - 1) * n + end - 1;
  const [a, b, c, d] = [h[at]!, h[at + 1]!, h[at + n]!, h[at + n + 1]!];
  const half = (a - d) / 2;
  const discriminant = half * half + b * c;
  if (discriminant < 0) {
    const modulus = Math.sqrt(Math.max(0, a * d - b * c));
    return [modulus, modulus];
  }
  // The one farther from d first, without cancellation; the other from the product.
  const root = Math.sqrt(discriminant);
  const far = half + (half < 0 ? -root : root);
  return [Math.abs(d + far), Math.abs(far === 0 ? d : d - (b * c) / far)];
}

/** One implicit double-shift step on the rows and columns start..end, three or more. */
function francisStep(h: Float64Array, n: number, start: number, end: number, unusual: boolean): void {
  // The shifts are the eigenvalues of the last 2 × 2 block, by their sum and product.
  const last = end * n + end;
  const above = last - n - 1;
  let sum = h[above]! + h[last]!;
  let product = h[above]! * h[last]! - h[above + 1]! * h[last - 1]!;
  if (unusual) {
    const w = Math.abs(h[last - 1]!) + Math.abs(h[above - 1]!);
    sum = 1.5 * w;
    product = w * w;
  }
  // First column of (H − s₁)(H − s₂).
  const first = start * n + start;
  const [a, b, c] = [h[first]!, h[first + n + 1]!, h[first + n]!];
  let x = a * a + h[first + 1]! * c - sum * a + product;
  let y = c * (a + b - sum);
  let z = c * h[first + 2 * n + 1]!;
  for (let k = start; k < end; k++) {
    if (k > start) {
      const below = (k + 1) * n + k - 1;
      x = h[below - n]!;
      y = h[below]!;
      z = k + 2 <= end ? h[below + n]! : 0;
    }
    reflect(h, n, start, end, k, x, y, z);
  }
  for (let i = start + 2; i <= end; i++) {
    h[i * n + i - 2] = 0;
    if (i > start + 2) h[i * n + i - 3] = 0;
  }
}

/**
 * Reflect so that (x, y, z) becomes a multiple of e₁: the rows k, k + 1 and (unless k + 1 is the end) k + 2
 * from the left, these columns from the right.
 */
function reflect(
  h: Float64Array,
  n: number,
  start: number,
  end: number,
  k: number,
  x: number,
  y: number,
  z: number,
): void {
  const three = k + 2 <= end;
  const length = Math.sqrt(x * x + y * y + z * z);
  if (length < TINY) return;
  const u = x + (x < 0 ? -length : length);
  const scale = 2 / (u * u + y * y + z * z);
  for (let j = Math.max(start, k - 1); j <= end; j++) {
    const at = k * n + j;
    const sum = scale * (u * h[at]! + y * h[at + n]! + (three ? z * h[at + 2 * n]! : 0));
    h[at]! -= sum * u;
    h[at + n]! -= sum * y;
    if (three) h[at + 2 * n]! -= sum * z;
  }
  for (let i = start; i <= Math.min(end, k + 3); i++) {
    const at = i * n + k;
    const sum = scale * (u * h[at]! + y * h[at + 1]! + (three ? z * h[at + 2]! : 0));
    h[at]! -= sum * u;
    h[at + 1]! -= sum * y;
    if (three) h[at + 2]! -= sum * z;
  }
}
