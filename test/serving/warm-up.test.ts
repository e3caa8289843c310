// A server that has warmed up answers with the same bits, and has nothing to show of it.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { servingMetrics } from "../../src/serving/metrics.ts";
import { warmUp } from "../../src/serving/warm-up.ts";
import { servedOn } from "./served.ts";
import { alone, requestOf } from "./texts.ts";

let wasm: SynchronousRuntime;
beforeAll(async () => {
  wasm = await createWasmRuntime({ threads: 2 });
});
afterAll(() => wasm.close());

/** Counters and latencies; what a moment decides is left out. */
const counted = (text: string): string[] =>
  text.split("\n").filter((line) => /^birkhoff_serve_\w+(_total|_sum|_count|_max|active|waiting) /.test(line));

test("no text and no count depends on the requests of its own", async () => {
  const [cold, warm] = [await servedOn(wasm), await servedOn(wasm)];
  const fresh = counted(servingMetrics(warm.engine));
  expect(fresh.length).toBeGreaterThan(15);
  const { requests } = await warmUp(warm, 1);
  // One, four and eight texts at a time, once at least.
  expect(requests).toBeGreaterThanOrEqual(13);
  expect(counted(servingMetrics(warm.engine))).toEqual(fresh);
  expect(warm.engine.load).toEqual({ active: 0, waiting: 0, draining: false });
  for (let seed = 0; seed < 10; seed++) {
    const request = requestOf(seed, { context: cold.context, vocabulary: cold.vocabulary });
    expect(await alone(warm.engine, request)).toEqual(await alone(cold.engine, request));
  }
  // As many as were written: nothing was found in the cache that was not read since.
  expect(warm.engine.meter.counts).toEqual(cold.engine.meter.counts);
});

test("it ends when its time is over, with texts under way", async () => {
  const served = await servedOn(wasm);
  const { settled, requests } = await warmUp(served, 0.02);
  expect(settled).toBe(false);
  expect(requests).toBeGreaterThan(0);
  expect(served.engine.load).toMatchObject({ active: 0, waiting: 0 });
  expect(served.engine.meter.counts).toMatchObject({ cancelled: 0, writtenTokens: 0 });
});

test("texts fit into a short window", async () => {
  const served = await servedOn(wasm, { slots: 1, queue: 0 });
  const { requests } = await warmUp({ ...served, context: 3 }, 0.2);
  expect(requests).toBeGreaterThan(2);
});
