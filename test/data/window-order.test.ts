// Question: is every window read once before any is again, in an order that is a function of seed and sample?

import { describe, expect, test } from "vitest";
import { createBatches } from "../../src/data/batches.ts";
import { derivedKey, permuted } from "../../src/data/random.ts";
import { memoryTokens } from "../../src/data/tokens.ts";
import { outside, validationBlocks } from "../../src/data/validation-blocks.ts";
import { type ShuffledSource, shuffledWindows } from "../../src/data/window-order.ts";

/** The windows of the first samples, in their order. */
function windowsOf(count: number, rows: number, source: ShuffledSource, T: number, seed: number): number[] {
  const startOf = shuffledWindows(source, T, seed, { rows });
  return Array.from({ length: count }, (_, sample) => startOf(Math.floor(sample / rows), sample % rows));
}

test.each([1, 2, 3, 7, 64, 1000, 4097])(
  "permuted gives each of %i places once, another order for another key",
  (size) => {
    const orderOf = (key: number): number[] => Array.from({ length: size }, (_, index) => permuted(key, index, size));
    const [one, two] = [orderOf(derivedKey(5, 1, 0)), orderOf(derivedKey(5, 1, 1))];
    expect(one.toSorted((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, index) => index));
    if (size >= 64) expect(one).not.toEqual(two);
    if (size >= 64) expect(one.filter((place, index) => place === index).length).toBeLessThan(10);
  },
);

describe("shuffled windows", () => {
  test.each([
    ["few windows", 100, undefined],
    ["blocks of several windows, and some left over", 8 * 1003 + 5, undefined],
    ["pieces between seams, some too short for a window", 5000, [3, 700, 705, 2001]],
  ])("%s: every window once in each epoch, in another order", (_, length, seams) => {
    const T = 8;
    const ends = [0, ...(seams ?? []), length];
    const all = ends
      .slice(1)
      .flatMap((end, at) =>
        Array.from({ length: Math.floor((end - ends[at]! - 1) / T) }, (__, index) => ends[at]! + index * T),
      );
    const source = { length, ...(seams ? { seams } : {}) };
    const read = windowsOf(2 * all.length, 4, source, T, 9);
    const [first, second] = [read.slice(0, all.length), read.slice(all.length)];
    expect(first.toSorted((a, b) => a - b)).toEqual(all);
    expect(second.toSorted((a, b) => a - b)).toEqual(all);
    expect(first).not.toEqual(second);
    expect(first).not.toEqual(all);
    expect(windowsOf(all.length, 4, source, T, 10)).not.toEqual(first);
    expect(windowsOf(all.length, 4, source, T, 9)).toEqual(first);
  });

  test("reads a long source in groups of blocks: few stretches of it at one time", () => {
    const [T, length] = [1024, 2 ** 32];
    const read = windowsOf(64 * 128, 8, { length }, T, 1);
    const blocks = new Set(read.map((start) => Math.floor(start / 2 ** 17)));
    expect(blocks.size).toBe(64);
    expect(Math.max(...blocks) - Math.min(...blocks)).toBeGreaterThan(10_000);
    // The first batch is of many blocks.
    expect(new Set(read.slice(0, 64).map((start) => Math.floor(start / 2 ** 17))).size).toBeGreaterThan(30);
  });

  test("a mixture reads each part as often as its weight says, each window of it once an epoch", () => {
    const [T, rows] = [4, 8];
    const length = 4 * 1000 + 1;
    const mixture = [
      { tokens: 401, weight: 3 },
      { tokens: 3600, weight: 1 },
    ];
    const startOf = shuffledWindows({ length, seams: [401] }, T, 2, { rows, mixture });
    const read = Array.from({ length: 1024 }, (_, sample) => startOf(Math.floor(sample / rows), sample % rows));
    const first = read.filter((start) => start < 401);
    expect(first.length).toBe(768);
    expect(new Set(first.slice(0, 100)).size).toBe(100);
    expect(new Set(read.filter((start) => start >= 401)).size).toBe(256);
    expect(first.every((start) => start + T < 401)).toBe(true);
  });

  test("a weight that is tiny still has a sample in each cycle", () => {
    const mixture = [1, 1e-6, 2].map((weight) => ({ tokens: 1000, weight }));
    const startOf = shuffledWindows({ length: 3000, seams: [1000, 2000] }, 4, 2, { rows: 1, mixture });
    const parts = Array.from({ length: 1024 }, (_, sample) => Math.floor(startOf(sample, 0) / 1000));
    expect([0, 1, 2].map((part) => parts.filter((one) => one === part).length)).toEqual([341, 1, 682]);
  });

  test("no piece as long as a window is told, with the context that fits", () => {
    expect(() => shuffledWindows({ length: 20, seams: [9] }, 16, 1, { rows: 1 })).toThrow(
      "no piece of the training tokens holds a window: the longest has 11 tokens, and a window of context 16 needs 17. Use more text, or a context of at most 10 (--context).",
    );
  });

  test("options that make no sense are refused", () => {
    const shuffled = (options: object) => (): unknown =>
      shuffledWindows({ length: 100 }, 8, 1, options as Parameters<typeof shuffledWindows>[3]);
    expect(shuffled({ rows: 0 })).toThrow("createBatches: shuffle: rows is 0; it must be a whole number from 1");
    expect(shuffled({ rows: 1, mixture: [] })).toThrow("the number of parts in mixture is 0");
    expect(shuffled({ rows: 1, mixture: [{ tokens: 100, weight: 0 }] })).toThrow("weight is 0; it must be a finite");
    expect(shuffled({ rows: 1, mixture: [{ weight: 1 }] })).toThrow("tokens");
  });

  test("two microbatches of 2 are one batch of 4", () => {
    const ids = Int32Array.from({ length: 500 }, (_, index) => index);
    const source = memoryTokens(ids, 500, 500);
    const make = (batchSize: number) =>
      createBatches({
        train: source,
        validation: source,
        byteLengths: new Uint32Array(500).fill(1),
        batchSize,
        contextLength: 8,
        seed: 3,
        shuffle: { rows: 4 },
      });
    const [whole, parts] = [make(4), make(2)];
    for (const step of [0, 5, 1000]) {
      const halves = [parts.trainingBatch(step, 0), parts.trainingBatch(step, 1)];
      expect(halves.flatMap(({ tokens }) => [...tokens])).toEqual([...whole.trainingBatch(step).tokens]);
      expect(halves.flatMap(({ targets }) => [...targets])).toEqual([...whole.trainingBatch(step).targets]);
    }
  });
});

describe("the tokens kept for validation", () => {
  test.each([
    [1000, 1, 75],
    [10_000_000, 45, 750_000],
    [10_000_000_000, 64, 2 ** 22],
  ])("of %i tokens: %i blocks, %i tokens in all, spread evenly, none in training", (length, blocks, kept) => {
    const ranges = validationBlocks(length, 4, 0.075);
    expect(ranges.length).toBe(blocks);
    const total = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
    expect(kept - total).toBeLessThan(blocks);
    const run = Math.floor(length / blocks);
    for (const [index, { from, to }] of ranges.entries()) {
      expect(from).toBeGreaterThanOrEqual(index * run);
      expect(to).toBeLessThanOrEqual((index + 1) * run);
    }
    const rest = outside(ranges, length).reduce((sum, { from, to }) => sum + to - from, 0);
    expect(rest + total).toBe(length);
    expect(validationBlocks(length, 4, 0.075)).toEqual(ranges);
    expect(validationBlocks(length, 5, 0.075)).not.toEqual(ranges);
  });
});
