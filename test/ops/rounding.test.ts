// The laws of rounding to bfloat16 and to e4m3, for any numbers.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import { roundToBfloat16 } from "../../src/ops/bfloat16.ts";
import { roundToFloat8 } from "../../src/ops/float8.ts";
import { evaluate } from "../../src/runtime/reference/evaluate.ts";

const float = fc.float({ noNaN: true, noDefaultInfinity: true });
const LARGEST = 3.3895313892515355e38;
const SMALLEST_NORMAL = 2 ** -126;
const runs = { numRuns: 2000 };

test("what is rounded stays, and signs are symmetric", () => {
  fc.assert(
    fc.property(float, (x) => {
      const rounded = roundToBfloat16(x);
      expect(roundToBfloat16(rounded)).toBe(rounded);
      expect(roundToBfloat16(-x)).toBe(-rounded);
    }),
    runs,
  );
});

test("order is kept", () => {
  fc.assert(
    fc.property(float, float, (x, y) => {
      expect(roundToBfloat16(Math.min(x, y))).toBeLessThanOrEqual(roundToBfloat16(Math.max(x, y)));
    }),
    runs,
  );
});

test("the error is at most 2⁻⁸ of the number, and half of the spacing below the normal numbers", () => {
  fc.assert(
    fc.property(
      float.filter((x) => Math.abs(x) <= LARGEST),
      (x) => {
        const bound = Math.max(2 ** -8 * Math.abs(x), SMALLEST_NORMAL * 2 ** -8);
        expect(Math.abs(roundToBfloat16(x) - x)).toBeLessThanOrEqual(bound);
      },
    ),
    runs,
  );
});

test("a product of two rounded numbers is exact in float32, so products need no wider factors", () => {
  fc.assert(
    fc.property(fc.double({ min: -1e10, max: 1e10 }), fc.double({ min: -1e10, max: 1e10 }), (x, y) => {
      const [a, b] = [roundToBfloat16(x), roundToBfloat16(y)];
      fc.pre(a * b === 0 || Math.abs(a * b) > SMALLEST_NORMAL);
      expect(Math.fround(a * b)).toBe(a * b);
    }),
    runs,
  );
});

test("infinities and NaN stay, and what is beyond the largest becomes infinite", () => {
  expect([Infinity, -Infinity, 3.4e38, -3.4e38, LARGEST].map(roundToBfloat16)).toEqual([
    Infinity,
    -Infinity,
    Infinity,
    -Infinity,
    LARGEST,
  ]);
  expect(roundToBfloat16(NaN)).toBeNaN();
});

describe("e4m3", () => {
  /** All values of 8 bits: 0, 1 … 7 steps of 2⁻⁹, and 8 … 15 steps in each power of two up to 448. */
  const grid = [
    ...Array.from({ length: 8 }, (_, m) => m * 2 ** -9),
    ...Array.from({ length: 15 }, (_, e) => Array.from({ length: 8 }, (_, m) => (8 + m) * 2 ** (e - 9))).flat(),
  ].filter((value) => value <= 448);
  const roundAll = (values: readonly number[]): number[] => {
    const x = input("x", [1, values.length]);
    const { y } = evaluate({ y: roundToFloat8(x, { rows: 1, columns: values.length }) }, [[x, values]]);
    // Without the sign of a zero.
    return Array.from(y, (value) => value + 0);
  };

  test("has 127 numbers from 0 to 448, and keeps them", () => {
    expect(grid).toHaveLength(127);
    expect(roundAll(grid)).toEqual(grid);
    expect(roundAll([448, ...grid.map((value) => -value)]).slice(1)).toEqual(grid.map((value) => 0 - value));
  });

  test("rounds to the nearest, ties to the even one", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -448, max: 448, noNaN: true }), { minLength: 1, maxLength: 20 }),
        (list) => {
          const values = [448, ...list.map(Math.fround)];
          const rounded = roundAll(values);
          for (const [at, value] of values.entries()) {
            const distance = (to: number): number => Math.abs(Math.abs(value) - to);
            const nearest = Math.min(...grid.map(distance));
            expect(distance(Math.abs(rounded[at]!))).toBe(nearest);
            const equal = grid.filter((one) => distance(one) === nearest);
            if (equal.length === 2) expect(grid.indexOf(Math.abs(rounded[at]!)) % 2).toBe(0);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("follows a block that is scaled by a power of two, and is exact in bfloat16", () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, min: -100, max: 100 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: -60, max: 60 }),
        (values, k) => {
          fc.pre(values.some((value) => Math.abs(value) > 1e-3));
          const scaled = roundAll(values.map((value) => value * 2 ** k));
          expect(scaled).toEqual(roundAll(values).map((value) => value * 2 ** k));
          expect(scaled.map(roundToBfloat16)).toEqual(scaled);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a block with what is not finite is left as it is", () => {
    expect(roundAll([1.03125, Infinity])).toEqual([1.03125, Infinity]);
    expect(roundAll([NaN, 1.03125])).toEqual([NaN, 1.03125]);
    expect(roundAll([0, 0])).toEqual([0, 0]);
  });
});
