// Reading with a cache gives the scores of reading everything at once, for every way of joining the layers.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mhcConventionNames } from "../../src/connections/conventions/table.ts";
import { connectionKinds, defaultConnection } from "../../src/connections/table.ts";
import { type ModelConfig, parseConnection } from "../../src/model/config.ts";
import { createDecoder } from "../../src/model/decoder.ts";
import { type LanguageModel } from "../../src/model/language-model.ts";
import type { SynchronousRuntime } from "../../src/runtime/runtime.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { relativeError, uniform } from "../ops/harness.ts";
import { modelOn, scoresOfWhole, tinyConfig } from "./tiny.ts";
import { oneByOne } from "../collect.ts";

const AWAY = { seed: 5, noise: 0.2 };
let wasm: SynchronousRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

function textOf({ context, vocabulary }: ModelConfig, seed = 3): number[] {
  const random = uniform(seed);
  return Array.from({ length: context }, () => Math.floor(random() * vocabulary));
}

/** The first half of the text as a prompt, the rest one by one. */
async function scoresWithCache(
  runtime: SynchronousRuntime,
  model: LanguageModel,
  text: readonly number[],
): Promise<number[]> {
  const decoder = createDecoder(runtime, model, 2);
  const half = text.length >> 1;
  const rows = text.map((token, position) => ({ slot: 1, position, token }));
  return [
    ...(await decoder.read(rows.slice(0, half), half)),
    ...(await oneByOne(rows.slice(half), async (row) => [...(await decoder.read([row], 1))])).flat(),
  ];
}

const latent = { kind: "mla", rank: 7, rotarySize: 4, contentSize: 6, valueSize: 5 } as const;
const residual = { kind: "residual" } as const;
const mhc = (options: object): ModelConfig["connection"] => parseConnection({ kind: "mhc", ...options });
const configs: Readonly<Record<string, ModelConfig>> = {
  ...Object.fromEntries(connectionKinds.map((kind) => [kind, tinyConfig(kind, { context: 11 })])),
  ...Object.fromEntries(
    mhcConventionNames.map((convention) => [
      `mhc, convention ${convention}`,
      { ...tinyConfig("mhc"), connection: mhc({ convention }) },
    ]),
  ),
  "mHC of three streams in bfloat16": {
    ...tinyConfig("mhc"),
    connection: mhc({ streams: 3, streamPrecision: "bfloat16" }),
  },
  mixed: {
    ...tinyConfig("residual", { layers: 3 }),
    connection: {
      default: defaultConnection("mhc"),
      overrides: [
        { layers: [0], role: "feedForward", connection: defaultConnection("attention-residuals") },
        { layers: [1], connection: residual },
        { layers: "last", role: "feedForward", connection: defaultConnection("frac") },
      ],
    },
  },
  "value residual": tinyConfig("mhc", { layers: 3, valueResidual: true }),
  "heads whose values and logits mix": tinyConfig("mhc", {
    heads: 4,
    kvHeads: 2,
    headMixing: { of: "both", dynamic: true },
  }),
  "keys and values that pass on": tinyConfig("residual", {
    layers: 3,
    keyValues: { of: "both", connection: parseConnection({ kind: "mhc", dynamic: "sequence" }) },
  }),
  "a head for every query": tinyConfig("residual", { heads: 4, kvHeads: 4 }),
  "latent attention": tinyConfig("mhc", { heads: 2, kvHeads: 2, attention: latent }),
  "latent attention with a rank for the queries, and experts": tinyConfig("residual", {
    heads: 3,
    kvHeads: 3,
    layers: 3,
    attention: { ...latent, queryRank: 5 },
    feedForward: { kind: "moe", experts: 5, active: 2, shared: 1, hidden: 8, denseLayers: 1, balanceRate: 1e-3 },
  }),
  "two key heads for six": tinyConfig("residual", { width: 36, heads: 6, kvHeads: 2 }),
};

describe.each(Object.entries(configs))("%s", (name, config) => {
  test("cached scores equal those of the whole text", async () => {
    const text = textOf(config);
    // Streams in bfloat16 may round to either of two neighbours where sums run in another order.
    const tolerance = name.includes("bfloat16") ? 0.02 : 1e-5;
    for (const runtime of [createReferenceRuntime(), wasm]) {
      const model = modelOn(runtime, config, AWAY);
      const error = relativeError(await scoresWithCache(runtime, model, text), scoresOfWhole(runtime, model, text));
      expect(error).toBeLessThan(tolerance);
    }
  });
});

describe("rows", () => {
  test("texts in one step do not see each other, and their scores do not depend on how many there are", async () => {
    const config = tinyConfig("mhc", { context: 9 });
    const model = modelOn(wasm, config, AWAY);
    const decoder = createDecoder(wasm, model, 4);
    const texts = [3, 4, 5].map((seed) => textOf(config, seed));
    const together: number[][] = texts.map(() => []);
    const { vocabulary } = config;
    for (let position = 0; position < 5; position++) {
      const rows = texts.map((text, slot) => ({ slot, position, token: text[position]! }));
      const scores = await decoder.read(rows, 3);
      texts.forEach((_, slot) => together[slot]!.push(...scores.slice(slot * vocabulary, (slot + 1) * vocabulary)));
    }
    for (const [slot, text] of texts.entries()) {
      const alone = await oneByOne([0, 1, 2, 3, 4], async (position) => [
        ...(await decoder.read([{ slot: 3, position, token: text[position]! }], 1)),
      ]);
      expect(alone.flat()).toEqual(together[slot]);
    }
  });

  test("a text begun anew in a slot does not see the one before it", async () => {
    const model = modelOn(wasm, tinyConfig("residual"), AWAY);
    const decoder = createDecoder(wasm, model, 1);
    const read = async (text: readonly number[]): Promise<number[]> => [
      ...(await decoder.read(
        text.map((token, position) => ({ slot: 0, position, token })),
        1,
      )),
    ];
    const first = await read([4, 2]);
    await read([1, 2, 3, 4, 5, 6]);
    expect(await read([4, 2])).toEqual(first);
  });

  test("what does not exist is told", async () => {
    const decoder = createDecoder(wasm, modelOn(wasm, tinyConfig("residual"), AWAY), 2);
    const read = async (row: object): Promise<unknown> => decoder.read([{ slot: 0, position: 0, token: 0, ...row }], 1);
    await expect(read({ token: 17 })).rejects.toThrow("decode: the token must be a whole number from 0 to 16, got 17.");
    await expect(read({ slot: 2 })).rejects.toThrow("the slot must be a whole number from 0 to 1, got 2.");
    await expect(read({ position: 6 })).rejects.toThrow("the position must be a whole number from 0 to 5, got 6.");
  });
});

test("bits do not depend on the number of threads", async () => {
  const config = tinyConfig("mhc", { width: 48, hidden: 100, heads: 4, kvHeads: 2 });
  const found: number[][] = [];
  for (const threads of [1, 2, 3]) {
    const runtime = await createWasmRuntime({ threads });
    try {
      found.push(await scoresWithCache(runtime, modelOn(runtime, config, AWAY), textOf(config)));
    } finally {
      runtime.close();
    }
  }
  expect(found[1]).toEqual(found[0]);
  expect(found[2]).toEqual(found[0]);
});
