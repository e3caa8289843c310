// Gradients that travel as bfloat16.

import { array, assert, float, integer, property } from "fast-check";
import { describe, expect, test } from "vitest";
import { createPool } from "../../../src/basics/pool.ts";
import { roundToBfloat16 } from "../../../src/ops/bfloat16.ts";
import { narrow, reduceNarrow, sumParts } from "../../../src/training/parallel/narrow.ts";
import { createWorld, onAll } from "../../runtime/collective/world.ts";

const wide = (half: number): number => new Float32Array(Uint32Array.of(half << 16).buffer)[0]!;

describe("narrow", () => {
  test("gives the nearest bfloat16 of every value", () => {
    assert(
      property(float(), (value) => {
        const half = new Uint16Array(1);
        narrow(Float32Array.of(value), half);
        expect(wide(half[0]!)).toBe(roundToBfloat16(value));
      }),
      { numRuns: 2000, examples: [[NaN], [Infinity], [-Infinity], [-0], [3.4e38], [1e-45], [1 + 2 ** -8]] },
    );
    // A NaN whose upper bits are all zero but the exponent's.
    const half = new Uint16Array(1);
    narrow(new Float32Array(Uint32Array.of(0x7f800001).buffer), half);
    expect(wide(half[0]!)).toBeNaN();
  });
});

test("every rank has the sum of the rounded values of all, in the order of the ranks, whichever it is", async () => {
  const [size, part] = [3, 32];
  const valueOf = (rank: number, i: number): number => Math.fround(Math.sin(1 + i + 100 * rank) * 10 ** (i % 5));
  const sums = await onAll(createWorld(size), async (ranks) => {
    const own = new Float32Array(part);
    const whole = Float32Array.from({ length: size * part }, (_, i) => valueOf(ranks.rank, i));
    const pool = createPool();
    for (let time = 0; time < 2; time++) {
      const { pending, finish } = reduceNarrow(ranks, whole, own, pool);
      await pending.done();
      finish();
    }
    return own;
  });
  for (const [rank, own] of sums.entries())
    for (let i = 0; i < part; i++) {
      let sum = 0;
      for (let from = 0; from < size; from++) sum = Math.fround(sum + roundToBfloat16(valueOf(from, rank * part + i)));
      expect(own[i]).toBe(sum);
    }
});

test("sums are of float32", () => {
  assert(
    property(array(integer({ min: 0, max: 0x7f7f }), { minLength: 1, maxLength: 8 }), (parts) => {
      const sums = new Float32Array(1);
      sumParts(Uint16Array.from(parts), sums);
      expect(sums[0]).toBe(parts.reduce((sum, half) => Math.fround(sum + wide(half)), 0));
    }),
  );
});
