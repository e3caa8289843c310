// The laws of rounding to bfloat16, for any numbers.

import fc from "fast-check";
import { expect, test } from "vitest";
import { roundToBfloat16 } from "../../src/ops/bfloat16.ts";

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
