import { expect, test } from "vitest";
import { sinkhornError } from "../../src/study/sinkhorn-error.ts";

test("after 500 iterations of small logits nothing is left but rounding", () => {
  const { columns, gradient } = sinkhornError({ iterations: 500, scale: 1, samples: 100 });
  expect(columns.max).toBeLessThan(1e-15);
  expect(gradient.max).toBeLessThan(1e-13);
});

test("the columns' errors of 20 iterations are those that are known, within a factor of three", () => {
  for (const [scale, median, p99] of [
    [1, 3.4e-13, 2.0e-6],
    [2, 8e-7, 1.3e-2],
    [4, 3.1e-3, 4.3e-2],
    [10, 2.9e-2, 0.11],
  ] as const) {
    const { columns } = sinkhornError({ iterations: 20, scale, samples: 2000 });
    expect(columns.median / median).toBeGreaterThan(1 / 3);
    expect(columns.median / median).toBeLessThan(3);
    expect(columns.p99 / p99).toBeGreaterThan(1 / 3);
    expect(columns.p99 / p99).toBeLessThan(3);
  }
});

test("errors grow with the logits and shrink with the iterations, for the gradient too", () => {
  const median = (iterations: number, scale: number): number =>
    sinkhornError({ iterations, scale, samples: 300 }).gradient.median;
  expect(median(20, 4)).toBeGreaterThan(100 * median(20, 2));
  expect(median(20, 4)).toBeGreaterThan(100 * median(100, 4));
  expect(sinkhornError({ iterations: 20, scale: 4, samples: 300 }).gradient.p99).toBeGreaterThan(0.1);
});

test("one stream has no error, and no matrices no answer", () => {
  expect(sinkhornError({ iterations: 1, scale: 3, streams: 1, samples: 5 }).gradient.max).toBe(0);
  expect(() => sinkhornError({ iterations: 20, scale: 1, samples: 0 })).toThrow(/samples is 0; .* from 1 to/);
});
