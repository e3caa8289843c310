// Hyper-Connections at their start: the pre-norm residual network, exactly.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { ConnectionConfig } from "../../src/connections/table.ts";
import { modelSchema } from "../../src/model/config.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { runTiny, tinyConfig, tinyModel, tinyValues } from "../model/tiny.ts";
import { relativeError } from "../ops/harness.ts";

let wasm: SynchronousRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

/** Logits at the start of a model with the default epsilon of the norms. */
function logits(runtime: SynchronousRuntime, connection: ConnectionConfig): ArrayLike<number> {
  const { normEpsilon: _, ...sizes } = tinyConfig(connection, { layers: 3 });
  const tiny = tinyModel(modelSchema.parse(sizes));
  return runTiny(runtime, tiny, { logits: tiny.logits }).logits!;
}

test("at the start a model with HC equals the residual model of the same seed", () => {
  for (const [runtime, tolerance] of [
    [createReferenceRuntime(), 1e-12],
    [wasm, 1e-6],
  ] as const) {
    const expected = logits(runtime, { kind: "residual" });
    for (const collapse of ["sum", "mean"] as const) {
      for (const streams of [1, 2, 3, 4, 8]) {
        expect(
          relativeError(logits(runtime, { kind: "hc", streams, collapse }), expected),
          `${streams} streams, ${collapse}`,
        ).toBeLessThan(tolerance);
      }
    }
  }
});

test("models that differ in their connection start from equal weights under equal names", () => {
  const [plain, hc, mhc] = (["residual", "hc", "mhc"] as const).map((kind) => tinyValues(tinyModel(tinyConfig(kind))));
  for (const [name, values] of plain!) {
    expect(hc!.get(name)).toEqual(values);
    expect(mhc!.get(name)).toEqual(values);
  }
  const own = [...hc!.keys()].filter((name) => !plain!.has(name));
  expect(own.length).toBe(3 * 2 * 2);
  expect(own.every((name) => /^layers\.\d\.(attention|feedForward)\.connection\.(theta|alpha|bias)$/.test(name))).toBe(
    true,
  );
});
