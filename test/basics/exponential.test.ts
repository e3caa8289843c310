// Question: is e^x right to its last bits?

import { expect, test } from "vitest";
import { exponential } from "../../src/basics/exponential.ts";

test("e^x agrees with the engine's own to 3e-16, and ends in 0", () => {
  let worst = 0;
  for (let i = 0; i <= 200_000; i++) {
    const x = -708 * (i / 200_000) ** 3;
    worst = Math.max(worst, Math.abs(exponential(x) / Math.exp(x) - 1));
  }
  expect(worst).toBeLessThan(3e-16);
  expect(exponential(0)).toBe(1);
  expect(exponential(-0)).toBe(1);
  // Subnormal numbers have fewer digits.
  expect(exponential(-740)).toBe(Math.exp(-740));
  expect([-746, -1e300, -Infinity].map(exponential)).toEqual([0, 0, 0]);
  expect(exponential(Number.NaN)).toBeNaN();
});
