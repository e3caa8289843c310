// Whole models by primitives alone: the loss and every gradient are those of the fused operations, in float64 on the
// reference and in float32 on the CPU runtime.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { composed } from "../../src/graph/compose.ts";
import { ancestors, type Operation, type Tensor } from "../../src/graph/tensor.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { primitives } from "../../src/ops/primitives.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { relativeError } from "../ops/harness.ts";
import { runTiny, tinyConfig, tinyModel, tinyValues } from "./tiny.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

const mixture: Partial<ModelConfig> = {
  attention: { kind: "mla", rank: 10, rotarySize: 4, contentSize: 6, valueSize: 7 },
  feedForward: {
    kind: "moe",
    experts: 5,
    active: 2,
    shared: 1,
    hidden: 6,
    denseLayers: 1,
    balanceRate: 0.01,
  },
};

const models = {
  mHC: tinyConfig("mhc"),
  HC: tinyConfig("hc"),
  "mHC, latent attention and a mixture of experts": tinyConfig("mhc", mixture),
};

const simple = { name: "simple", has: (op: Operation): boolean => primitives.has(op) };

describe.each(Object.entries(models))("%s", (_name, config) => {
  const tiny = tinyModel(config);
  const fused: Record<string, Tensor> = { loss: tiny.loss, logits: tiny.logits, ...tiny.gradients };
  const place = composed(Object.values(fused), simple);
  const made = Object.fromEntries(Object.entries(fused).map(([name, tensor]) => [name, place(tensor)]));
  const values = tinyValues(tiny, 0.3);

  test("is made of primitives", () => {
    const used = new Set(ancestors(Object.values(made)).map(({ op }) => op));
    expect([...used].filter((op) => !primitives.has(op)).map(({ name }) => name)).toEqual([]);
    expect(used.size).toBeGreaterThan(15);
  });

  test.each(["reference", "wasm"])("gives the same loss and gradients on %s", (name) => {
    const [runtime, tolerance] = name === "wasm" ? [wasm, 2e-4] : [createReferenceRuntime(), 1e-9];
    const expected = runTiny(runtime, tiny, fused, values);
    const actual = runTiny(runtime, tiny, made, values);
    for (const [output, of] of Object.entries(expected)) {
      // No gradient reaches the bias that balances the experts.
      expect(
        of.every((value) => value === 0),
        output,
      ).toBe(output.endsWith("routerBias"));
      expect(relativeError(actual[output]!, of), output).toBeLessThan(tolerance);
    }
  });
});
