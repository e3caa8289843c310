// A model that learns some of its maps is written for Hugging Face as mHC with all of them, which computes the same.

import { expect, test } from "vitest";
import { type ConnectionConfig, connectionSchema } from "../../src/connections/table.ts";
import { huggingFaceConfig } from "../../src/interop/hf/config.ts";
import { withWholeMaps } from "../../src/interop/hf/whole-maps.ts";
import { connectionAt } from "../../src/model/places.ts";
import type { ModelConnection } from "../../src/model/overrides.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { runTiny, tinyConfig, tinyModel, tinyValues } from "../model/tiny.ts";
import { relativeError } from "../ops/harness.ts";

const connectionOf = (options: object): ConnectionConfig => connectionSchema.parse({ kind: "mhc", ...options });

test.each<[string, ModelConnection]>([
  ["mHC in some sublayers", connectionAt(connectionOf({}), "0.attention+1")],
  ["mHC in none", connectionOf({ maps: "none", streams: 3 })],
  ["reading and writing alone, kept in bfloat16", connectionOf({ maps: "pre-post", streamPrecision: "bfloat16" })],
  [
    "mixing and writing in one sublayer",
    connectionAt(connectionOf({ maps: "post-res", iterations: 7 }), "1.attention"),
  ],
  ["mHC of deepseek-v4 in some sublayers", connectionAt(connectionOf({ convention: "deepseek-v4" }), "0.attention+1")],
  ["one stream", connectionOf({ maps: "post", streams: 1 })],
])("%s", (_, connection) => {
  const runtime = createReferenceRuntime();
  const some = tinyModel({ ...tinyConfig("residual"), connection });
  const own = tinyValues(some, 0.1);
  const { model, numbers } = withWholeMaps(some.config, (name) => own.get(name)!);
  expect(huggingFaceConfig(model)["model_type"]).toBe("birkhoff_mhc");
  const whole = tinyModel(model);
  const values = new Map(whole.parameters.all.map(({ name }) => [name, Float32Array.from(numbers(name))]));
  for (const { name, tensor } of whole.parameters.all)
    expect(values.get(name), name).toHaveLength(tensor.shape.reduce((a, b) => a * b, 1));
  const expected = runTiny(runtime, some, { logits: some.logits }, own).logits!;
  const actual = runTiny(runtime, whole, { logits: whole.logits }, values).logits!;
  // Streams that are kept in half the bytes may be rounded to the other neighbour.
  const bound = JSON.stringify(connection).includes("bfloat16") ? 0.02 : 1e-5;
  expect(relativeError(actual, expected)).toBeLessThan(bound);
});

test("what has all maps, and what differs in more than them, stays as it is", () => {
  const numbers = (): Float32Array => new Float32Array();
  const kept = (connection: ModelConnection) =>
    withWholeMaps({ ...tinyConfig("residual"), connection }, numbers).model.connection === connection;
  expect(kept(connectionOf({}))).toBe(true);
  expect(
    kept({ default: connectionOf({ maps: "none" }), overrides: [{ layers: [0], connection: { kind: "residual" } }] }),
  ).toBe(true);
  expect(kept(connectionAt(connectionOf({ residualMap: "cayley" }), "0"))).toBe(true);
  expect(kept(connectionOf({ maps: "none" }))).toBe(false);
});
