// Moduli of eigenvalues: matrices whose eigenvalues are known, and any made from known ones.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { eigenvalueModuli } from "../../src/stability/eigenvalues.ts";

/** The permutation that sends i to image[i]. */
function permutation(image: readonly number[]): number[] {
  return image.flatMap((target) => image.map((_, j) => (j === target ? 1 : 0)));
}

function expectModuli(matrix: readonly number[], expected: readonly number[], digits = 12): void {
  const found = eigenvalueModuli(matrix, Math.sqrt(matrix.length));
  expect(found).toHaveLength(expected.length);
  for (const [k, modulus] of expected.entries()) expect(found[k]).toBeCloseTo(modulus, digits);
}

describe("moduli of eigenvalues", () => {
  test("of one number, zeros, the identity, a triangle", () => {
    expectModuli([-3], [3]);
    expectModuli(Array<number>(25).fill(0), [0, 0, 0, 0, 0]);
    expectModuli(permutation([0, 1, 2, 3]), [1, 1, 1, 1]);
    expectModuli([2, 5, 7, 0, -4, 1, 0, 0, 3], [4, 3, 2]);
  });
  test("of the mean J/n and of permutations, whose eigenvalues are roots of one", () => {
    for (const n of [2, 4, 7, 32]) {
      expectModuli(Array<number>(n * n).fill(1 / n), [1, ...Array<number>(n - 1).fill(0)]);
      expectModuli(permutation(Array.from({ length: n }, (_, i) => (i + 1) % n)), Array<number>(n).fill(1), 10);
    }
    expectModuli(permutation([1, 0, 3, 2]), [1, 1, 1, 1]);
  });
  test("of rotations: a complex pair of modulus one", () => {
    for (const angle of [1e-8, 0.3, Math.PI / 2, 3]) {
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      expectModuli([c, -s, s, c], [1, 1]);
      expectModuli([0.5, 0, 0, 0, c, -s, 0, s, c], [1, 1, 0.5]);
    }
  });
  test("of nilpotent matrices: Jordan blocks either way round, and one that is hidden", () => {
    const above = (n: number): number[] => Array.from({ length: n * n }, (_, at) => (at % (n + 1) === 1 ? 1 : 0));
    for (const n of [2, 3, 4, 8]) {
      expectModuli(above(n), Array<number>(n).fill(0));
      const below = Array.from({ length: n * n }, (_, at) => above(n)[(at % n) * n + Math.floor(at / n)]!);
      expectModuli(below, Array<number>(n).fill(0));
    }
    // Of index 2: an error of √ε is what any method makes.
    expectModuli([2, -1, 4, -2], [0, 0], 7);
  });
  test("mHC of layer 1 in Fig. 8 of the paper: the second is below one, the first is its row sum", () => {
    const matrix = [0.67, 0.09, 0.03, 0.21, 0.26, 0.48, 0.26, 0, 0.03, 0.24, 0, 0.73, 0.02, 0.2, 0.69, 0.09];
    const [first, second] = eigenvalueModuli(matrix, 4);
    expect(first).toBeCloseTo(1, 12);
    expect(second).toBeGreaterThan(0.6);
    expect(second).toBeLessThan(0.8);
  });
  test("of what is not finite they are not numbers", () => {
    expect(eigenvalueModuli([1, Number.NaN, 0, 1], 2)).toEqual([Number.NaN, Number.NaN]);
    expect(eigenvalueModuli([1, 0, Number.POSITIVE_INFINITY, 1], 2)).toEqual([Number.NaN, Number.NaN]);
  });
  test("whatever orthogonal basis known eigenvalues are seen in, they are found; up to n = 32", () => {
    const entry = fc.double({ min: -1, max: 1, noNaN: true });
    const pair = fc.tuple(entry, fc.double({ min: -3, max: 3, noNaN: true }));
    fc.assert(
      fc.property(
        fc.array(pair, { maxLength: 14 }),
        fc.array(entry, { minLength: 1, maxLength: 4 }),
        fc.array(fc.array(entry, { minLength: 32, maxLength: 32 }), { minLength: 1, maxLength: 3 }),
        (pairs, reals, normals) => {
          const n = 2 * pairs.length + reals.length;
          let matrix = new Float64Array(n * n);
          const expected: number[] = [];
          for (const [k, [radius, angle]] of pairs.entries()) {
            const at = 2 * k * (n + 1);
            matrix[at] = matrix[at + n + 1] = radius * Math.cos(angle);
            matrix[at + n] = radius * Math.sin(angle);
            matrix[at + 1] = -matrix[at + n]!;
            expected.push(Math.abs(radius), Math.abs(radius));
          }
          for (const [k, value] of reals.entries()) {
            matrix[(2 * pairs.length + k) * (n + 1)] = value;
            expected.push(Math.abs(value));
          }
          for (const normal of normals) matrix = reflected(matrix, normal, n);
          const found = eigenvalueModuli(matrix, n);
          for (const [k, modulus] of expected.sort((a, b) => b - a).entries()) expect(found[k]).toBeCloseTo(modulus, 7);
        },
      ),
      { numRuns: 200 },
    );
  });
});

/** Q A Q with the reflection Q = I − 2vvᵀ / vᵀv. */
function reflected(matrix: Float64Array, v: readonly number[], n: number): Float64Array<ArrayBuffer> {
  const norm = v.slice(0, n).reduce((sum, value) => sum + value * value, 0);
  if (norm < 1e-6) return Float64Array.from(matrix);
  const q = Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return (i === j ? 1 : 0) - (2 * v[i]! * v[j]!) / norm;
  });
  const times = (a: ArrayLike<number>, b: ArrayLike<number>): Float64Array<ArrayBuffer> =>
    Float64Array.from({ length: n * n }, (_, at) => {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += a[Math.floor(at / n) * n + k]! * b[k * n + (at % n)]!;
      return sum;
    });
  return times(times(q, matrix), q);
}
