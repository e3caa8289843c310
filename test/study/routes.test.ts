// How the maps of a model vary over tokens: static ones not at all; those of the first sublayer, whose streams are copies of
// the embedding, by the token's id alone.

import { afterAll, beforeAll, expect, test } from "vitest";
import { connectionSchema } from "../../src/connections/table.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { measureRoutes, type Routes } from "../../src/study/routes.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

async function routesOf(options: object): Promise<Routes | undefined> {
  const connection = connectionSchema.parse(options);
  const config = tinyTraining("mhc", { model: { connection }, steps: 4, batch: 8, evaluateBatches: 4 });
  const batches = tinyBatches(config);
  const trainer = createTrainer(wasm, config, batches);
  await trainer.trainStep();
  return await measureRoutes(wasm, config, await trainer.save(), batches);
}

test("maps that depend on tokens vary, in the first sublayer by the id alone", async () => {
  const routes = (await routesOf({ kind: "mhc" }))!;
  expect(routes.sublayers).toEqual([0, 1, 2, 3]);
  expect(routes.tokens % 12).toBe(0);
  for (const map of [routes.pre, routes.post, routes.res]) {
    expect(map[0]!.variation).toBeGreaterThan(1e-5);
    expect(map[0]!.byToken).toBeGreaterThan(0.98);
    expect(map[0]!.byPlace).toBeLessThan(0.5);
    // Later ones see more than the token.
    expect(map[3]!.byToken).toBeLessThan(map[0]!.byToken);
  }
  expect(routes.most.tokens.length).toBeGreaterThan(3);
  const distances = routes.most.tokens.map(({ distance }) => distance);
  expect(distances).toEqual([...distances].sort((a, b) => b - a));
});

test("static maps do not vary; a residual model has none", async () => {
  const routes = (await routesOf({ kind: "mhc", dynamic: "none" }))!;
  for (const map of [routes.pre, routes.post, routes.res])
    expect(map).toEqual(routes.sublayers.map(() => ({ variation: 0, byToken: 0, byPlace: 0 })));
  expect(await routesOf({ kind: "residual" })).toBeUndefined();
});
