// A text is the same whatever is written beside it; texts that end early disturb no other; the queue has a bound.

import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ModelConfig } from "../../src/model/config.ts";
import { createGenerator } from "../../src/model/generate.ts";
import type { Runtime, SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { BusyError, createEngine, DrainingError, type Engine } from "../../src/serving/engine.ts";
import { collect } from "../collect.ts";
import { modelOn, tinyConfig } from "../model/tiny.ts";
import { uniform } from "../ops/harness.ts";
import { alone, readAll, requestOf } from "./texts.ts";

const AWAY = { seed: 5, noise: 0.2 };
let wasm: SynchronousRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

const sizes = { width: 32, heads: 4, kvHeads: 2, context: 48, vocabulary: 61 };
const configs: Readonly<Record<string, ModelConfig>> = {
  residual: tinyConfig("residual", sizes),
  mHC: tinyConfig("mhc", sizes),
  "mHC with experts and latent attention": tinyConfig("mhc", {
    ...sizes,
    kvHeads: 4,
    layers: 3,
    attention: { kind: "mla", rank: 7, rotarySize: 4, contentSize: 6, valueSize: 5 },
    feedForward: { kind: "moe", experts: 5, active: 2, shared: 1, hidden: 8, denseLayers: 1, balanceRate: 1e-3 },
  }),
};

const engineOf = (
  config: ModelConfig,
  options: Partial<Engine["options"]> = {},
  runtime: SynchronousRuntime = wasm,
): Promise<Engine> =>
  createEngine(runtime, modelOn(runtime, config, AWAY), { slots: 16, queue: 64, stretch: 1.5, ...options });

const closed = new Error("closed");

describe.each(Object.entries(configs))("%s", (_, config) => {
  test("1 to 32 texts at a time, mixed at random, are bit by bit what each is alone", async () => {
    const engine = await engineOf(config, { slots: 32 });
    expect(engine.invariant).toBe(true);
    const requests = Array.from({ length: 40 }, (_, seed) => requestOf(seed, config));
    const expected = [];
    for (const request of requests) expected.push(await alone(engine, request));
    const random = uniform(9);
    for (let start = 0; start < requests.length;) {
      const count = Math.min(requests.length - start, 1 + Math.floor(32 * random()));
      // They come one after another, and some of the readers are slow.
      const texts = await Promise.all(
        requests.slice(start, start + count).map(async (request) => {
          await new Promise((resolve) => setTimeout(resolve, 20 * random()));
          return readAll(engine.submit([request])[0]!);
        }),
      );
      expect(texts).toEqual(expected.slice(start, start + count));
      start += count;
    }
    expect(engine.meter.counts.rows).toBeGreaterThan(engine.meter.counts.ticks);
    await engine.close(closed);
  });
});

test("what the cache holds of a text is not read again, and changes nothing", async () => {
  const config = configs["mHC"]!;
  const engine = await engineOf(config, { slots: 2 });
  // Two blocks and something of a third.
  const shared = Array.from({ length: 36 }, (_, index) => (7 * index + 3) % config.vocabulary);
  const request = requestOf(6, config, { prompt: [...shared, 11], maxTokens: 8, echo: false });
  const first = await alone(engine, request);
  const { counts } = engine.meter;
  expect(counts.sharedTokens).toBe(0);
  const other = await alone(engine, { ...request, prompt: [...shared, 12, 13] });
  expect(counts.sharedTokens).toBe(32);
  expect(await alone(engine, request)).toEqual(first);
  expect(counts.sharedTokens).toBe(64);
  const fresh = await engineOf(config, { slots: 2 });
  expect(await alone(fresh, { ...request, prompt: [...shared, 12, 13] })).toEqual(other);
  // Where the prompt's own log-probabilities are wanted, all of it is read.
  await alone(engine, { ...request, echo: true });
  expect(counts.sharedTokens).toBe(64);
  await Promise.all([engine, fresh].map((each) => each.close(closed)));
});

test("a prompt that texts of the same time have in common is read once, also when its reader goes", async () => {
  const config = configs["mHC"]!;
  const engine = await engineOf(config, { slots: 8 });
  const shared = Array.from({ length: 36 }, (_, index) => (11 * index + 5) % config.vocabulary);
  const requests = Array.from({ length: 7 }, (_, seed) =>
    requestOf(seed, config, { prompt: [...shared, seed], maxTokens: 5, echo: false, stopToken: undefined }),
  );
  const expected = [];
  for (const request of requests) {
    const fresh = await engineOf(config, { slots: 1 });
    expected.push(await alone(fresh, request));
    await fresh.close(closed);
  }
  const { counts } = engine.meter;
  expect(await Promise.all(engine.submit(requests).map(readAll))).toEqual(expected);
  // Of seven prompts the first is read, and of the others what follows two blocks.
  expect(counts.sharedTokens).toBe(6 * 32);
  expect(counts.rows).toBe(37 + 6 * 5 + 7 * 4);
  // The first has gone before it has read all; another reads what is left.
  const controller = new AbortController();
  const prompt = [...shared.toReversed(), 1];
  const [going, ...staying] = engine.submit([
    { ...requests[0]!, prompt, signal: controller.signal },
    ...requests.map((request) => ({ ...request, prompt })),
  ]);
  const gone = readAll(going!);
  controller.abort(new Error("gone"));
  await expect(gone).rejects.toThrow("gone");
  const left = await Promise.all(staying.map(readAll));
  const fresh = await engineOf(config, { slots: 1 });
  for (const [index, request] of requests.entries())
    expect(await alone(fresh, { ...request, prompt })).toEqual(left[index]);
  await Promise.all([engine, fresh].map((each) => each.close(closed)));
});

test("an engine writes what a generator writes", async () => {
  const config = configs["mHC"]!;
  const engine = await engineOf(config);
  const generator = createGenerator(wasm, modelOn(wasm, config, AWAY));
  for (const seed of [1, 2, 3]) {
    const request = requestOf(seed, config, { prompt: [5, 9, 2 + seed], maxTokens: 30, echo: false });
    const { events } = await alone(engine, request);
    const { rules, maxTokens, random } = request;
    const expected = await collect(generator.generate(request.prompt, { ...rules, maxTokens, random }));
    expect(events.map(({ token }) => token)).toEqual(expected);
  }
  generator.release();
  await engine.close(closed);
});

test("the reference runtime serves too", async () => {
  const config = tinyConfig("mhc", { context: 20 });
  const engine = await engineOf(config, { slots: 2 }, createReferenceRuntime());
  const requests = [0, 1, 2].map((seed) => requestOf(seed, config));
  const expected = [];
  for (const request of requests) expected.push(await alone(engine, request));
  expect(await Promise.all(engine.submit(requests).map(readAll))).toEqual(expected);
  await engine.close(closed);
});

describe("a text that ends before its time", () => {
  const config = configs["mHC"]!;

  test("leaves, and the others are as they would have been", async () => {
    const engine = await engineOf(config, { slots: 4 });
    const kept = [11, 12, 13].map((seed) => requestOf(seed, config));
    const expected = [];
    for (const request of kept) expected.push(await alone(engine, request));
    const controllers = Array.from({ length: 6 }, () => new AbortController());
    const going = controllers.map(({ signal }, seed) =>
      requestOf(20 + seed, config, { signal, prompt: [1], maxTokens: 48 }),
    );
    const leaving = engine.submit(going).map(async (text, index) => {
      for await (const _ of text.events) controllers[index]!.abort(new Error(`gone ${index}`));
    });
    const staying = engine.submit(kept).map(readAll);
    // Those that wait have gone before they began.
    for (const controller of controllers.slice(4)) controller.abort(new Error("gone early"));
    const outcomes = await Promise.allSettled(leaving);
    expect(outcomes.map((each) => (each.status === "rejected" ? (each.reason as Error).message : ""))).toEqual([
      ...[0, 1, 2, 3].map((index) => `gone ${index}`),
      "gone early",
      "gone early",
    ]);
    expect(await Promise.all(staying)).toEqual(expected);
    expect(engine.meter.counts).toMatchObject({ cancelled: 6, failed: 0, finished: 6 });
    expect(engine.load).toEqual({ active: 0, waiting: 0, draining: false });
    await engine.close(closed);
  });

  test("while a machine of its own reads it is counted once", async () => {
    // As a GPU does it: the scores come later, and meanwhile a client goes on.
    const runtime: Runtime = Object.assign(Object.create(wasm) as SynchronousRuntime, {
      compile: (...asked: Parameters<Runtime["compile"]>) => {
        const program = wasm.compile(...asked);
        return {
          run: () => program.run(),
          release: () => program.release(),
          read: async (name: "logits") => {
            await sleep(2);
            return program.readNow(name);
          },
        };
      },
    });
    const engine = await createEngine(runtime, modelOn(wasm, config, AWAY), { slots: 2, queue: 4, stretch: 1.5 });
    const [text] = engine.submit([requestOf(3, config, { prompt: [1], maxTokens: 2, echo: false })]);
    for await (const _ of text!.events) {
      await sleep(1);
      text!.stop();
    }
    await expect.poll(() => engine.load.active).toBe(0);
    await engine.drain();
    expect(text!.end).toBe("stop");
    expect(engine.meter.counts).toMatchObject({ finished: 1, writtenTokens: 1 });
    await engine.close(closed);
  });

  test("by an error of its own takes no other with it", async () => {
    const engine = await engineOf(config);
    const good = requestOf(4, config);
    const expected = await alone(engine, good);
    const bad = requestOf(5, config, {
      random() {
        throw new Error("no number");
      },
    });
    const [first, second] = engine.submit([bad, good]);
    await expect(readAll(first!)).rejects.toThrow("no number");
    expect(await readAll(second!)).toEqual(expected);
    await engine.close(closed);
  });
});

describe("the queue", () => {
  const config = configs["residual"]!;

  test("takes all texts of a request or none, and says when it is full", async () => {
    const engine = await engineOf(config, { slots: 2, queue: 3 });
    const some = (count: number) => Array.from({ length: count }, (_, seed) => requestOf(seed, config));
    expect(() => engine.submit(some(6))).toThrow(BusyError);
    const taken = engine.submit(some(5)).map(readAll);
    expect(() => engine.submit(some(1))).toThrow("there is room for 0");
    await Promise.all(taken);
    expect(engine.meter.counts).toMatchObject({ finished: 5, refused: 7 });
    expect(await Promise.all(engine.submit(some(1)).map(readAll))).toHaveLength(1);
    await engine.close(closed);
  });

  test("is emptied before a drained engine stops, and takes nothing more", async () => {
    const engine = await engineOf(config, { slots: 2 });
    const texts = engine.submit([1, 2, 3, 4].map((seed) => requestOf(seed, config)));
    const all = Promise.all(texts.map(readAll));
    const drained = engine.drain();
    expect(() => engine.submit([requestOf(1, config)])).toThrow(DrainingError);
    await drained;
    expect(engine.meter.counts.finished).toBe(4);
    expect((await all).every(({ events }) => events.length > 0)).toBe(true);
    await engine.close(closed);
  });

  test("ends with an error for those whose engine is closed", async () => {
    const engine = await engineOf(config, { slots: 1 });
    const texts = engine.submit([1, 2].map((seed) => requestOf(seed, config)));
    const all = Promise.allSettled(texts.map(readAll));
    await engine.close(closed);
    expect((await all).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });
});
