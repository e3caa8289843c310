// Signal gains: the paper's own figures, the order of products, and what no doubly stochastic network can exceed.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { amaxGain, largestComposite, measureGains } from "../../src/stability/gains.ts";

/** Fig. 8 of arXiv 2512.24880, token-averaged mappings as printed: HC of layer 1, mHC of layer 1 and of layers 31 to 60. */
const figure8 = {
  hcLayer1: [
    5.43, 4.43, 4.43, 4.43, -4.07, -3.07, -4.07, -4.07, -3.95, -3.95, -2.95, -3.95, -4.22, -4.22, -4.22, -3.22,
  ],
  mhcLayer1: [0.67, 0.09, 0.03, 0.22, 0.26, 0.48, 0.26, 0, 0.03, 0.24, 0, 0.73, 0.03, 0.2, 0.69, 0.09],
  mhcLayers31To60: [0.35, 0.28, 0.17, 0.2, 0.03, 0.62, 0.29, 0.07, 0.01, 0.17, 0.8, 0.02, 0.02, 0.42, 0.25, 0.31],
};

describe("Amax gain", () => {
  test("of the matrices of Fig. 8", () => {
    const hc = amaxGain(figure8.hcLayer1, 4);
    expect(hc.forward).toBeCloseTo(18.72, 12);
    expect(hc.backward).toBeCloseTo(6.81, 12);
    // The captions round each figure on its own: 1.04 is 0.22 + 0 + 0.73 + 0.09, 1.51 is 0.17 + 0.29 + 0.80 + 0.25.
    expect(amaxGain(figure8.mhcLayer1, 4)).toEqual({
      forward: expect.closeTo(1.01, 12),
      backward: expect.closeTo(1.04, 12),
    });
    expect(amaxGain(figure8.mhcLayers31To60, 4)).toEqual({
      forward: expect.closeTo(1.01, 12),
      backward: expect.closeTo(1.51, 12),
    });
  });
  test("is of signed sums: what cancels does not count", () => {
    expect(amaxGain([5, -5, 3, -3], 2)).toEqual({ forward: 0, backward: 8 });
  });
});

/** Coefficients [tokens, n² + 2n] of one sublayer; what stands before the mixing must not matter. */
function coefficients(n: number, matrices: readonly (readonly number[])[]): Float64Array {
  return Float64Array.from(matrices.flatMap((matrix) => [...Array<number>(2 * n).fill(1e9), ...matrix]));
}

function times(a: readonly number[], b: readonly number[], n: number): number[] {
  return Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return Array.from({ length: n }, (_unused, k) => a[i * n + k]! * b[k * n + j]!).reduce((sum, value) => sum + value);
  });
}

describe("composite gain", () => {
  // Row sums of a product depend on its order: [later · earlier] is what the network does to its streams.
  const [first, second, third] = [
    [1, 2, 0, 1],
    [0, 1, 3, 0],
    [1, 0, 5, 1],
  ] as const;

  test("the later sublayer stands on the left", () => {
    const gains = measureGains(
      [first, second, third].map((matrix) => coefficients(2, [matrix])),
      2,
      1,
    );
    const forward = [first, times(second, first, 2), times(third, times(second, first, 2), 2)];
    const backward = [forward[2]!, times(third, second, 2), third];
    expect(gains.single).toEqual({ forward: [3, 3, 6], backward: [3, 3, 6] });
    expect(gains.composite.forward).toEqual(forward.map((matrix) => amaxGain(matrix, 2).forward));
    expect(gains.composite.backward).toEqual(backward.map((matrix) => amaxGain(matrix, 2).backward));
    expect(gains.composite.forward).not.toEqual(
      [first, times(first, second, 2), times(times(first, second, 2), third, 2)].map(
        (matrix) => amaxGain(matrix, 2).forward,
      ),
    );
    expect(largestComposite(gains)).toEqual({
      forward: Math.max(...gains.composite.forward),
      backward: Math.max(...gains.composite.backward),
    });
  });
  test("products are made token by token and averaged before the sums", () => {
    const tokens = [
      [first, second],
      [second, first],
    ] as const;
    const layers = [0, 1].map((layer) =>
      coefficients(
        2,
        tokens.map((token) => token[layer]!),
      ),
    );
    const products = tokens.map(([earlier, later]) => times(later, earlier, 2));
    const averaged = products[0]!.map((value, i) => (value + products[1]![i]!) / 2);
    expect(measureGains(layers, 2, 2).composite.forward[1]).toBe(amaxGain(averaged, 2).forward);
    // Only the first `tokens` rows count.
    expect(measureGains(layers, 2, 1).composite.forward[1]).toBe(amaxGain(products[0]!, 2).forward);
  });
  test("a network without streams has gain 1", () => {
    expect(largestComposite(undefined)).toEqual({ forward: 1, backward: 1 });
  });
});

/** A convex combination of permutations of n things: any doubly stochastic matrix is one (Birkhoff). */
function doublyStochastic(n: number): fc.Arbitrary<number[]> {
  const permutation = fc.shuffledSubarray(
    Array.from({ length: n }, (_, i) => i),
    { minLength: n, maxLength: n },
  );
  const weighted = fc.tuple(permutation, fc.double({ min: 0.01, max: 1, noNaN: true }));
  return fc.array(weighted, { minLength: 1, maxLength: 5 }).map((terms) => {
    const total = terms.reduce((sum, [, weight]) => sum + weight, 0);
    const matrix = Array<number>(n * n).fill(0);
    for (const [order, weight] of terms) order.forEach((column, row) => (matrix[row * n + column]! += weight / total));
    return matrix;
  });
}

test("doubly stochastic matrices are closed under products: no depth amplifies", () => {
  const networks = fc
    .integer({ min: 1, max: 5 })
    .chain((n) =>
      fc.tuple(
        fc.constant(n),
        fc.array(fc.tuple(doublyStochastic(n), doublyStochastic(n)), { minLength: 1, maxLength: 12 }),
      ),
    );
  fc.assert(
    fc.property(networks, ([n, layers]) => {
      const gains = measureGains(
        layers.map((tokens) => coefficients(n, tokens)),
        n,
        2,
      );
      for (const value of [gains.single, gains.composite].flatMap(({ forward, backward }) => [
        ...forward,
        ...backward,
      ])) {
        expect(Math.abs(value - 1)).toBeLessThan(1e-12);
      }
      const product = layers.map(([matrix]) => matrix).reduce((earlier, later) => times(later, earlier, n));
      expect(Math.min(...product)).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 100 },
  );
});

test("row-stochastic matrices alone bound the forward gain by 1 and the backward gain by n", () => {
  const row = fc
    .array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 })
    .map((values) => values.map((value) => value / values.reduce((sum, other) => sum + other)));
  const matrix = fc.array(row, { minLength: 4, maxLength: 4 }).map((rows) => rows.flat());
  fc.assert(
    fc.property(fc.array(matrix, { minLength: 1, maxLength: 10 }), (layers) => {
      const { composite } = measureGains(
        layers.map((values) => coefficients(4, [values])),
        4,
        1,
      );
      expect(composite.forward).toEqual(layers.map(() => expect.closeTo(1, 12)));
      expect(Math.max(...composite.backward)).toBeLessThanOrEqual(4 + 1e-12);
    }),
    { numRuns: 50 },
  );
});
