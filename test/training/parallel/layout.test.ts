// Every number is in one place of the row and in one tensor of one rank.

import { expect, test } from "vitest";
import { createLayout } from "../../../src/training/parallel/layout.ts";
import { ownBatches, shareOf } from "../../../src/training/parallel/share.ts";
import { tinyBatches, tinyTraining } from "../tiny.ts";

const sizes = [100, 7, 333, 1, 64, 256];

test.each([
  [2, 512],
  [3, 64],
  [4, 10_000],
])("%d ranks, buckets of %d bytes", (ranks, bucketBytes) => {
  const parameters = sizes.map((size, index) => ({ size, group: index % 2 }));
  const layout = createLayout(parameters, { ranks, groups: 2, bucketBytes });
  const seen = parameters.map(({ size }) => new Uint8Array(size));
  const places = layout.groups.map((groups) => groups.map((length) => new Uint8Array(length)));
  expect(layout.buckets[0]!.stretches[0]).toMatchObject({ parameter: 0, from: 0, at: 0 });
  for (const { part, pieces, stretches } of layout.buckets) {
    expect(part % 16).toBe(0);
    for (const [rank, own] of pieces.entries())
      for (const { parameter, from, length, at, group, place } of own) {
        const whole = stretches.find((each) => each.parameter === parameter)!;
        expect(group).toBe(parameter % 2);
        expect(rank * part + at - whole.at).toBe(from - whole.from);
        expect(from - whole.from + length).toBeLessThanOrEqual(whole.length);
        expect(at + length).toBeLessThanOrEqual(part);
        for (let i = 0; i < length; i++) {
          seen[parameter]![from + i]! += 1;
          places[rank]![group]![place + i]! += 1;
        }
      }
  }
  for (const each of [...seen, ...places.flat()]) expect(each.every((times) => times === 1)).toBe(true);
  const totals = layout.groups.map((groups) => groups.reduce((a, b) => a + b, 0));
  // A part of the last bucket may be empty; no rank has more than its share and what fills its parts up.
  const total = sizes.reduce((a, b) => a + b, 0);
  expect(Math.max(...totals)).toBeLessThanOrEqual(total / ranks + 16 * layout.buckets.length);
});

test.each([
  [{ batch: 4, accumulate: 1 }, 2, { batch: 2, accumulate: 1, total: 2 }],
  [{ batch: 4, accumulate: 4 }, 2, { batch: 4, accumulate: 2, total: 4 }],
  [{ batch: 6, accumulate: 3 }, 2, { batch: 3, accumulate: 3, total: 6 }],
  [{ batch: 4, accumulate: 3 }, 2, { batch: 3, accumulate: 2, total: 4 }],
])("the rows of %j on %d ranks", (config, size, share) => {
  const shares = Array.from({ length: size }, (_, rank) => shareOf(config, { rank, size }));
  expect(shares[0]).toEqual({ ...share, first: 0 });
  const whole = { ...tinyTraining("residual"), ...config };
  const batches = tinyBatches(whole);
  const rows = (of: { tokens: Int32Array }[]): number[] => of.flatMap(({ tokens }) => [...tokens]);
  const own = shares.flatMap((each) =>
    Array.from({ length: each.accumulate }, (_, index) => ownBatches(batches, each)(3, index)),
  );
  expect(rows(own)).toEqual(
    rows(Array.from({ length: config.accumulate }, (_, index) => batches.trainingBatch(3, index))),
  );
});

test("rows that cannot be shared are refused, with a batch that can", () => {
  expect(() => shareOf({ batch: 5, accumulate: 1 }, { rank: 0, size: 2 })).toThrow(
    "5 sequences a step are given, and 2 processes; each must have equally many. Take --batch 6 --accumulate 1",
  );
});
