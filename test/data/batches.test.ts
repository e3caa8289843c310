import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createBatches, type BatchOptions } from "../../src/data/batches.ts";
import { memoryTokens } from "../../src/data/tokens.ts";

/** Token i of the source is i, so a window shows where it was taken. */
const counting = (length: number) =>
  memoryTokens(
    Int32Array.from({ length }, (_, index) => index),
    length,
    length,
  );
const options: BatchOptions = {
  train: counting(1000),
  validation: counting(101),
  byteLengths: Array.from({ length: 1000 }, () => 3),
  batchSize: 4,
  contextLength: 10,
  seed: 5,
};
const rowsOf = (array: Int32Array, contextLength: number): number[][] =>
  Array.from({ length: array.length / contextLength }, (_, row) =>
    Array.from(array.subarray(row * contextLength, (row + 1) * contextLength)),
  );

test("targets are the tokens one later, rows are windows of the text", () => {
  fc.assert(
    fc.property(
      fc.nat(1e9),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 99 }),
      (step, batchSize, contextLength) => {
        const { tokens, targets } = createBatches({ ...options, batchSize, contextLength }).trainingBatch(step);
        expect(targets).toEqual(tokens.map((token) => token + 1));
        for (const row of rowsOf(tokens, contextLength)) {
          expect(row).toEqual(row.map((_, index) => row[0]! + index));
          expect(row[0]! + contextLength).toBeLessThan(1000);
        }
      },
    ),
  );
});

test("a batch depends on seed and step only: resuming needs no replay", () => {
  const first = createBatches(options);
  const resumed = createBatches(options);
  const all = Array.from({ length: 20 }, (_, step) => first.trainingBatch(step));
  for (let step = 19; step >= 10; step--) expect(resumed.trainingBatch(step)).toEqual(all[step]);
  expect(new Set(all.map(({ tokens }) => tokens.join())).size).toBe(20);
  expect(createBatches({ ...options, seed: 6 }).trainingBatch(0)).not.toEqual(all[0]);
});

test("the batches of a seed stay what they are from release to release", () => {
  const { tokens } = createBatches(options).trainingBatch(3, 1);
  expect(rowsOf(tokens, 10).map(([start]) => start)).toMatchInlineSnapshot(`
    [
      824,
      882,
      818,
      801,
    ]
  `);
});

test("two microbatches are one batch of twice the size", () => {
  const half = createBatches(options);
  const whole = createBatches({ ...options, batchSize: 8 }).trainingBatch(7);
  expect([...half.trainingBatch(7, 0).tokens, ...half.trainingBatch(7, 1).tokens]).toEqual([...whole.tokens]);
});

test("every start of a window is reached, the first and the last too", () => {
  const batches = createBatches({ ...options, train: counting(15) });
  const starts = new Set<number>();
  for (let step = 0; step < 100; step++) {
    for (const [start] of rowsOf(batches.trainingBatch(step).tokens, 10)) starts.add(start!);
  }
  expect([...starts].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
});

test("validation reads the file once, in order, and the same every time", () => {
  const batches = createBatches({ ...options, batchSize: 2 });
  const all = [...batches.validationBatches()];
  expect(batches.validationCount).toBe(5);
  expect(all.flatMap(({ tokens }) => [...tokens])).toEqual(Array.from({ length: 100 }, (_, index) => index));
  expect(all.flatMap(({ targets }) => [...targets])).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
  expect(all.map(({ bytes }) => bytes)).toEqual([60, 60, 60, 60, 60]);
  expect([...batches.validationBatches()]).toEqual(all);
  expect([...createBatches({ ...options, batchSize: 2, validationLimit: 2 }).validationBatches()]).toEqual(
    all.slice(0, 2),
  );
});

test("a validation file of less than a batch fills it by starting again", () => {
  const [batch, ...more] = createBatches({ ...options, validation: counting(25) }).validationBatches();
  expect(more).toEqual([]);
  expect(rowsOf(batch!.tokens, 10).map(([start]) => start)).toEqual([0, 10, 0, 10]);
});

test("too little text says how much there is, how much is needed and what to do", () => {
  expect(() => createBatches({ ...options, train: counting(10) })).toThrow(
    "the training text has 10 tokens, but a window of context 10 needs 11: " +
      "use a context of at most 9 (--context) or more text.",
  );
  expect(() => createBatches({ ...options, train: counting(9), validation: counting(1) })).toThrow(
    "the training text has 9 tokens and the validation text has 1 token, but a window of context 10 needs 11: " +
      "no context is short enough: use more text.",
  );
  expect(createBatches({ ...options, train: counting(11), validation: counting(11) }).trainingBatch(0).tokens[0]).toBe(
    0,
  );
  expect(() => createBatches({ ...options, batchSize: 0 })).toThrow(
    "batchSize is 0; it must be a whole number of at least 1",
  );
});
