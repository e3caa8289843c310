// The instruments' formulas on matrices and streams whose answers are known.

import { describe, expect, test } from "vitest";
import { rounded } from "../../src/stability/instruments.ts";
import {
  distanceToMean,
  groupNorms,
  measureMixing,
  type ObservedMixing,
  secondModulus,
  streamUse,
  sumErrors,
} from "../../src/stability/measure.ts";

const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
const mean = Array<number>(9).fill(1 / 3);
const cycle = [0, 1, 0, 0, 0, 1, 1, 0, 0];
/** Fig. 8 of arXiv 2512.24880: HC of layer 1, averaged over tokens, as printed. */
const hcLayer1 = [
  5.43, 4.43, 4.43, 4.43, -4.07, -3.07, -4.07, -4.07, -3.95, -3.95, -2.95, -3.95, -4.22, -4.22, -4.22, -3.22,
];

/** A sublayer of one or more tokens with these maps; reads 1, 2, … and writes 10, 20, … */
function sublayer(index: number, matrices: readonly (readonly number[])[], run = 0): ObservedMixing {
  const coefficients = matrices.flatMap((matrix) => {
    const streams = Array.from({ length: Math.sqrt(matrix.length) }, (_, j) => j + 1);
    return [...streams, ...streams.map((j) => 10 * j), ...matrix];
  });
  return { index, run, coefficients };
}

describe("one matrix", () => {
  test("errors of the sums", () => {
    for (const matrix of [identity, cycle]) expect(sumErrors(matrix, 3)).toEqual({ row: 0, column: 0 });
    expect(sumErrors(mean, 3).row).toBeLessThan(1e-15);
    expect(sumErrors([0.5, 0.5, 0.75, 0], 2)).toEqual({ row: 0.25, column: 0.5 });
  });
  test("the second eigenvalue: 1 for the identity, a permutation and a rotation, 0 for the mean", () => {
    expect(secondModulus(identity, 3)).toBe(1);
    expect(secondModulus(cycle, 3)).toBeCloseTo(1, 12);
    expect(secondModulus([0.6, -0.8, 0.8, 0.6], 2)).toBeCloseTo(1, 12);
    expect(secondModulus(mean, 3)).toBeCloseTo(0, 12);
    expect(secondModulus([0.9, 0.1, 0.1, 0.9], 2)).toBeCloseTo(0.8, 12);
    expect(secondModulus([1], 1)).toBe(0);
  });
  test("the distance to the mean: √(n − 1) for any permutation", () => {
    expect(distanceToMean(mean, 3)).toBe(0);
    expect(distanceToMean(identity, 3)).toBeCloseTo(Math.SQRT2, 12);
    expect(distanceToMean(cycle, 3)).toBeCloseTo(Math.SQRT2, 12);
  });
});

describe("streams", () => {
  test("all equal, orthogonal, one alone, opposite, none", () => {
    expect(streamUse([4, 4, 4, 4], 2)).toEqual({ cosine: 1, effective: 1, dominant: 0.5 });
    expect(streamUse([1, 0, 0, 0, 1, 0, 0, 0, 1], 3)).toEqual({ cosine: 0, effective: 3, dominant: 1 / 3 });
    expect(streamUse([9, 0, 0, 0], 2)).toEqual({ cosine: 0, effective: 1, dominant: 1 });
    expect(streamUse([1, -1, -1, 1], 2)).toEqual({ cosine: -1, effective: 1, dominant: 0.5 });
    expect(streamUse([0, 0, 0, 0], 2)).toEqual({ cosine: 0, effective: 0, dominant: 0 });
    expect(streamUse([7], 1)).toEqual({ cosine: 1, effective: 1, dominant: 1 });
  });
  test("multiples of one stream count as one, however long", () => {
    const lengths = [1, 10, 0.1];
    const gram = lengths.flatMap((a) => lengths.map((b) => a * b));
    const { cosine, effective, dominant } = streamUse(gram, 3);
    expect([cosine, effective]).toEqual([expect.closeTo(1, 12), expect.closeTo(1, 12)]);
    expect(dominant).toBeCloseTo(100 / 101.01, 12);
  });
});

describe("a network", () => {
  test("HC of layer 1 in Fig. 8: gains 18.73 and 6.81, sums far from one", () => {
    const { single, rowError, columnError, mixing, smallestLogit } = measureMixing([sublayer(0, [hcLayer1])], 1, 1);
    // The caption rounds the row sum of unrounded entries to 18.73.
    expect(single!.forward[0]).toBeCloseTo(18.72, 12);
    expect(single!.backward[0]).toBeCloseTo(6.81, 12);
    expect(rowError![0]).toBeCloseTo(17.72, 12);
    expect(columnError![0]).toBeCloseTo(7.81, 12);
    expect(mixing).toEqual([hcLayer1]);
    expect(smallestLogit).toEqual([null]);
  });
  test("products have the later sublayer on the left; means are of tokens, extremes of any token", () => {
    const [a, b] = [
      [1, 0, 0, 1],
      [0.5, 0.5, 0, 1],
    ];
    const c = [0, 1, 1, 0];
    const seen = measureMixing([sublayer(0, [a, b]), { ...sublayer(1, [c, c]), logits: [1, -7, 3, 5] }], 2, 2);
    expect(seen.mixing).toEqual([[0.75, 0.25, 0, 1], c]);
    expect(seen.product).toEqual([
      [0.75, 0.25, 0, 1],
      [0, 1, 0.75, 0.25],
    ]);
    expect(seen.columnError).toEqual([0.5, 0]);
    expect(seen.secondEigenvalue).toEqual([0.75, 1]);
    expect(seen.distance![0]).toBeCloseTo((1 + Math.sqrt(0.25 + 0.25)) / 2, 12);
    expect(seen.smallestLogit).toEqual([null, -7]);
    expect(seen.largestLogit).toEqual([null, 5]);
    expect(seen.read).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(seen.write![0]).toEqual([10, 20]);
    expect(seen.sublayers).toBeUndefined();
    expect(seen.streamCosine).toBeUndefined();
  });
  test("runs of other numbers of streams are kept apart, products do not cross", () => {
    const swap = [0, 1, 1, 0];
    const sublayers = [
      { ...sublayer(0, [swap]), products: [1, 0, 0, 3] },
      { ...sublayer(2, [cycle], 2), products: [1, 0, 0, 0, 1, 0, 0, 0, 1] },
      { ...sublayer(3, [cycle], 2), products: [1, 1, 1, 1, 1, 1, 1, 1, 1] },
    ];
    const seen = measureMixing(sublayers, 5, 1);
    expect(seen.sublayers).toEqual([0, 2, 3]);
    expect(seen.product).toEqual([swap, cycle, [0, 0, 1, 1, 0, 0, 0, 1, 0]]);
    expect(seen.effectiveStreams).toEqual([1.6, 3, 1]);
    expect(seen.dominantShare).toEqual([0.75, 1 / 3, 1 / 3]);
    expect(seen.streamCosine).toEqual([0, 0, 1]);
  });
  test("of a network that mixes nothing there is nothing to say", () => {
    expect(measureMixing([], 4, 3)).toEqual({});
  });
});

test("norms of a group; nothing is moved by no update", () => {
  expect(groupNorms({ gradient: 9, weight: 16, update: 4 })).toEqual({ gradient: 3, weight: 4, update: 0.5 });
  expect(groupNorms({ gradient: 1, weight: 0, update: 0 }).update).toBe(0);
});

test("a record keeps seven digits, and what is not known", () => {
  expect(rounded({ sublayers: [0, 3], activation: [1 / 3, 1e-20 / 3], smallestLogit: [null] })).toEqual({
    sublayers: [0, 3],
    activation: [0.3333333, 3.333333e-21],
    smallestLogit: [null],
  });
});
