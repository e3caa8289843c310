// A two-layer transformer's loss and the gradient of every parameter against the same model written in
// jax-js from the papers' formulas (jax-transformer.ts), for each connection. jax-js computes in
// float64 on its interpreted backend, so the reference runtime must agree to rounding; the CPU
// runtime's float32 to 1e-4 of the largest entry of each gradient.

import { defaultDevice, init, numpy as np, valueAndGrad } from "@jax-js/jax";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { relativeError } from "../ops/harness.ts";
import type { ConnectionConfig } from "../../src/connections/table.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { indices, loss, type Parameters, type Sizes } from "./jax-transformer.ts";
import { runTiny, tinyConfig, type TinyModel, tinyModel, tinyText, tinyValues } from "./tiny.ts";

const NOISE = 0.3;

const connections: Readonly<Record<string, ConnectionConfig>> = {
  residual: { kind: "residual" },
  "hc, 4 streams, sum": { kind: "hc", streams: 4, collapse: "sum" },
  "hc, 3 streams, mean": { kind: "hc", streams: 3, collapse: "mean" },
  "mhc, 4 streams, 20 iterations, mean": { kind: "mhc", streams: 4, iterations: 20, collapse: "mean" },
  "mhc, 2 streams, 5 iterations, sum": { kind: "mhc", streams: 2, iterations: 5, collapse: "sum" },
};

const runtimes: WasmRuntime[] = [];
beforeAll(async () => {
  await init("cpu");
  defaultDevice("cpu");
  runtimes.push(
    await createWasmRuntime({ build: "relaxed", threads: 2 }),
    await createWasmRuntime({ build: "simd", threads: 1 }),
  );
});
afterAll(() => runtimes.forEach((runtime) => runtime.close()));

type Results = Readonly<Record<string, Float32Array | Float64Array>>;

function jaxResults({ config, parameters }: TinyModel, values: ReadonlyMap<string, Float32Array>): Results {
  const array = (name: string, shape: readonly number[]): np.Array =>
    np.array(Float64Array.from(values.get(name)!), { dtype: np.float64 }).reshape([...shape]);
  const arrays = Object.fromEntries(parameters.all.map(({ name, tensor }) => [name, array(name, tensor.shape)]));
  const { tokens, targets } = tinyText(config);
  const [value, gradients] = valueAndGrad((given: Parameters) =>
    loss(given, indices(tokens), indices(targets), config as Sizes),
  )(arrays);
  const data = Object.entries(gradients as Record<string, np.Array>).map(([name, gradient]) => [
    name,
    gradient.dataSync() as Float64Array,
  ]);
  return { loss: value.dataSync() as Float64Array, ...(Object.fromEntries(data) as Results) };
}

describe.each(Object.entries(connections))("%s", (_name, connection) => {
  const tiny = tinyModel(tinyConfig(connection));
  const values = tinyValues(tiny, NOISE);
  const outputs = { loss: tiny.loss, ...tiny.gradients };
  let expected: Results;
  beforeAll(() => void (expected = jaxResults(tiny, values)));

  test("no gradient is close to zero", () => {
    expect(Object.keys(expected).sort()).toEqual(Object.keys(outputs).sort());
    for (const [name, gradient] of Object.entries(expected))
      expect(Math.max(...Array.from(gradient, Math.abs)), name).toBeGreaterThan(1e-5);
  });
  test("the float64 reference agrees to rounding", () => {
    const actual = runTiny(createReferenceRuntime(), tiny, outputs, values);
    for (const [name, value] of Object.entries(expected))
      expect(relativeError(actual[name]!, value), name).toBeLessThan(1e-12);
  });
  test("the CPU runtime agrees to 1e-4, with both builds of the kernels", () => {
    for (const runtime of runtimes) {
      const actual = runTiny(runtime, tiny, outputs, values);
      for (const [name, value] of Object.entries(expected))
        expect(relativeError(actual[name]!, value), `${name}, ${runtime.build}`).toBeLessThan(1e-4);
    }
  });
});
