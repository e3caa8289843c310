// What is measured of the matrices by which heads mix: made-up ones, and those of a model.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createParameters } from "../../src/graph/parameters.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { measureHeads } from "../../src/stability/heads.ts";
import type { Instruments } from "../../src/stability/instruments.ts";
import { initialise } from "../../src/training/initialise.ts";
import { createObserver } from "../../src/training/observe.ts";
import { tinyConfig } from "../model/tiny.ts";

let runtime: WasmRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 1 })));
afterAll(() => runtime.close());

describe("measureHeads", () => {
  test("identity keeps everything, the mean nothing but the mean", () => {
    const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    const mean = Array.from({ length: 9 }, () => 1 / 3);
    expect(measureHeads([[identity, 3]])).toEqual({ rowError: 0, columnError: 0, second: 1, own: 1 });
    const { rowError, columnError, second, own } = measureHeads([[mean, 3]]);
    for (const error of [rowError, columnError, second]) expect(error).toBeCloseTo(0, 12);
    expect(own).toBeCloseTo(1 / 3, 12);
  });

  test("takes the worst error and the mean of all tokens and of both kinds", () => {
    const half = [0.75, 0.25, 0.25, 0.75];
    const crooked = [0.5, 0.6, 0.4, 0.4];
    const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    const { rowError, columnError, second, own } = measureHeads([
      [[...half, ...crooked], 2],
      [identity, 3],
    ]);
    expect(rowError).toBeCloseTo(0.2, 12);
    expect(columnError).toBeCloseTo(0.1, 12);
    // λ² − 0.9 λ − 0.04 = 0
    const crookedSecond = Math.abs((0.9 - Math.sqrt(0.81 + 0.16)) / 2);
    expect(second).toBeCloseTo((0.5 + crookedSecond + 1) / 3, 12);
    expect(own).toBeCloseTo((0.75 + 0.45 + 1) / 3, 12);
  });
});

async function observed(headMixing: object): Promise<Instruments> {
  const config = { ...tinyConfig("mhc", { kvHeads: 2 }), headMixing } as ReturnType<typeof tinyConfig>;
  const parameters = createParameters();
  const model = languageModel(config, parameters);
  initialise(runtime, parameters, 1);
  const observer = createObserver(runtime, model, config.context);
  const seen = await observer.observe(Array.from({ length: config.context }, (_, i) => (7 * i) % config.vocabulary));
  observer.release();
  for (const { tensor } of parameters.all) runtime.forget(tensor);
  return seen;
}

describe("a model's heads", () => {
  test("are seen in the layers' attention, and none in feed-forward", async () => {
    for (const headMixing of [
      { of: "both", dynamic: true },
      { of: "logits", dynamic: false },
    ]) {
      const { headRowError, headColumnError, headSecond, headOwn, activation } = await observed(headMixing);
      for (const list of [headRowError, headColumnError, headSecond, headOwn]) {
        expect(list).toHaveLength(activation!.length);
        expect(list!.map((value) => value === null)).toEqual(list!.map((_, index) => index % 2 === 1));
      }
      // Sinkhorn-Knopp ends with the rows.
      for (const error of headRowError!) expect(error ?? 0).toBeLessThan(1e-5);
      for (const second of headSecond!) expect(second ?? 0.5).toBeGreaterThan(0);
      for (const own of headOwn!) expect(own ?? 0.9).toBeLessThan(1);
    }
  });

  test("rows that need not sum to one are told of", async () => {
    const { headRowError } = await observed({ of: "values", dynamic: false, map: "identity" });
    expect(headRowError![0]).toBe(0);
    const { headOwn } = await observed({ of: "values", dynamic: false, map: "identity" });
    expect(headOwn![0]).toBe(1);
  });

  test("a model without such heads has none of these instruments", async () => {
    const parameters = createParameters();
    const config = tinyConfig("mhc");
    const model = languageModel(config, parameters);
    initialise(runtime, parameters, 1);
    const observer = createObserver(runtime, model, config.context);
    const seen = await observer.observe(new Int32Array(config.context));
    observer.release();
    expect(Object.keys(seen).filter((name) => name.startsWith("head"))).toEqual([]);
  });
});
