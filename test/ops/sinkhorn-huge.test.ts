// Logits of any size give a finite matrix whose rows sum to one, finite gradients, and what the kernels give.

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { input } from "../../src/graph/state.ts";
import { sinkhorn, sinkhornGradient, sinkhornResult } from "../../src/ops/sinkhorn.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";

const huge = (n: number): fc.Arbitrary<Float32Array> =>
  fc
    .tuple(
      fc.constantFrom(1, 100, 1e3, 1e6, 1e30),
      fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: n * n, maxLength: n * n }),
    )
    .map(([size, values]) => Float32Array.from(values, (value) => value * size));

let runtime: WasmRuntime;
beforeAll(async () => {
  runtime = await createWasmRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

test.each([2, 3, 4, 8])("%i streams", (n) => {
  const logits = input(`logits${n}`, [1, n, n]);
  const program = runtime.compile({ outputs: { result: sinkhorn(logits) } });
  fc.assert(
    fc.property(huge(n), (values) => {
      const exact = Float64Array.from(values);
      const result = sinkhornResult(exact, n, 20);
      for (let row = 0; row < n; row++) {
        const sum = result.subarray(row * n, (row + 1) * n).reduce((a, b) => a + b, 0);
        expect(sum).toBeCloseTo(1, 12);
      }
      expect(sinkhornGradient(exact, new Float64Array(n * n).fill(1), n, 20).every(Number.isFinite)).toBe(true);
      runtime.write(logits, values);
      program.run();
      program.readNow("result").forEach((value, index) => expect(Math.abs(value - result[index]!)).toBeLessThan(1e-5));
    }),
    { numRuns: 60 },
  );
});

test("a gap beyond the range of float64's exponential", () => {
  const result = sinkhornResult(Float64Array.of(0, -900, -900, 0), 2, 20);
  expect(result[0]).toBeCloseTo(1, 12);
  expect(sinkhornResult(Float64Array.of(-5000, 0, -5000, -5000), 2, 20).every(Number.isFinite)).toBe(true);
});
