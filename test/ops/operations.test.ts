// Every operation on every runtime against the float64 reference, forward and all gradients; the
// reference against finite differences.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TensorValues } from "../../src/runtime/program.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { implementations } from "../../src/runtime/wasm/ops/table.ts";
import { ancestors } from "../../src/graph/tensor.ts";
import { cases } from "./cases/all.ts";
import { buildCase, checkFiniteDifferences, relativeError, runCase } from "./harness.ts";

const runtimes = {
  "relaxed, 1 thread": { build: "relaxed", threads: 1 },
  "relaxed, 3 threads": { build: "relaxed", threads: 3 },
  "plain SIMD, 2 threads": { build: "simd", threads: 2 },
} as const;
const open: Record<string, WasmRuntime> = {};

beforeAll(async () => {
  for (const [name, options] of Object.entries(runtimes)) open[name] = await createWasmRuntime(options);
});
afterAll(() => {
  for (const runtime of Object.values(open)) runtime.close();
});

describe.each(cases.map((operationCase) => [operationCase.name, operationCase] as const))(
  "%s",
  (_name, operationCase) => {
    test.skipIf(operationCase.rounds)("reference gradient equals finite differences", () => {
      checkFiniteDifferences(buildCase(operationCase));
    });
    test("every runtime equals the reference", () => {
      const built = buildCase(operationCase);
      const expected = runCase(createReferenceRuntime(), built);
      let bits: Record<string, TensorValues> | undefined;
      for (const [name, runtime] of Object.entries(open)) {
        const actual = runCase(runtime, built);
        for (const [output, values] of Object.entries(expected)) {
          const tolerance = output.startsWith("gradient")
            ? (operationCase.tolerance?.gradient ?? 1e-4)
            : (operationCase.tolerance?.forward ?? 1e-5);
          expect(relativeError(actual[output]!, values), `${output} on ${name}`).toBeLessThan(tolerance);
        }
        if (runtime.build !== "relaxed") continue;
        if (bits) expect(actual, "bits do not depend on the number of threads").toEqual(bits);
        bits = actual;
      }
    });
  },
);

test("every operation with a kernel has a case", () => {
  const covered = new Set(
    cases.flatMap((operationCase) => ancestors(Object.values(buildCase(operationCase).outputs)).map((node) => node.op)),
  );
  const missing = [...implementations.keys()].filter((op) => !covered.has(op));
  expect(missing.map(({ name }) => name)).toEqual([]);
});
