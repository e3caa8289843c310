// The error of products whose factors are rounded, as docs/precision.md tells it: the root mean square of the differences from
// the product of the factors as they are, over that of the product; mean and standard deviation over seeds.

import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { toBfloat16, toFloat32 } from "../../src/ops/bfloat16.ts";
import { roundToFloat8 } from "../../src/ops/float8.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { normal, uniform } from "./harness.ts";

const [ROWS, INNER, COLUMNS] = [24, 1024, 24];
const SEEDS = [1, 2, 3, 4, 5];

type Round = (x: Tensor, block: { rows: number; columns: number }) => Tensor;
const roundings: Readonly<Record<string, Round>> = {
  bfloat16: (x) => toFloat32(toBfloat16(x)),
  fp8: roundToFloat8,
};

/** The relative error of x W, where one channel of x in 100 is so many times as large as the others. */
function errorOf(round: Round, outliers: number, seed: number): number {
  const random = uniform(seed);
  const [x, w] = [input("x", [ROWS, INNER]), input("w", [INNER, COLUMNS])];
  const runtime = createReferenceRuntime();
  const rounded = matmul(round(x, { rows: 1, columns: 128 }), round(w, { rows: 128, columns: 128 }));
  const program = runtime.compile({ outputs: { exact: matmul(x, w), rounded } });
  runtime.write(
    x,
    Float64Array.from({ length: ROWS * INNER }, (_, at) => normal(random) * (at % 100 === 7 ? outliers : 1)),
  );
  runtime.write(
    w,
    Float64Array.from({ length: INNER * COLUMNS }, () => normal(random)),
  );
  program.run();
  const [correct, found] = [[...program.readNow("exact")], [...program.readNow("rounded")]];
  const sumOfSquares = (values: readonly number[]): number => values.reduce((sum, value) => sum + value ** 2, 0);
  return Math.sqrt(sumOfSquares(found.map((value, at) => value - correct[at]!)) / sumOfSquares(correct));
}

describe.each([
  ["bfloat16", 1, "0.24 % ± 0.02 %"],
  ["bfloat16", 100, "0.24 % ± 0.01 %"],
  ["fp8", 1, "3.8 % ± 0.2 %"],
  ["fp8", 100, "3.7 % ± 0.1 %"],
] as const)("%s, outliers %i times as large", (rounding, outliers, told) => {
  test("has the error that is told", () => {
    const errors = SEEDS.map((seed) => errorOf(roundings[rounding]!, outliers, seed));
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    const deviation = Math.sqrt(errors.reduce((sum, error) => sum + (error - mean) ** 2, 0) / (errors.length - 1));
    expect(`${(100 * mean).toPrecision(2)} % ± ${(100 * deviation).toPrecision(1)} %`).toBe(told);
  });
});
