// A connection in some sublayers and a residual one of the same state elsewhere: how places are written, and that the
// streams really pass through.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectionOf, parseChoice } from "../../src/cli/connections.ts";
import { sublayerRows } from "../../src/cli/sublayers.ts";
import { connectionSchema, defaultConnection } from "../../src/connections/table.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { modelSchema } from "../../src/model/config.ts";
import { createDecoder } from "../../src/model/decoder.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { isMixed, sublayerConnections, sublayerRuns } from "../../src/model/overrides.ts";
import { connectionAt, parsePlaces, plainBeside, writePlaces } from "../../src/model/places.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { initialValues } from "../../src/training/initialise.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { oneByOne } from "../collect.ts";
import { relativeError } from "../ops/harness.ts";
import { tinyBatches, tinySize, tinyTraining } from "../training/tiny.ts";
import { runTiny, scoresOfWhole, tinyConfig, tinyModel } from "./tiny.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 1 })));
afterAll(() => wasm.close());

const mhc = defaultConnection("mhc");
const positions = (at: string, layers: number): number[] =>
  sublayerConnections({ connection: connectionAt(mhc, at), layers }).flatMap((one, index) =>
    one === mhc ? [index] : [],
  );

describe("how places are written", () => {
  test.each([
    ["none", []],
    ["2", [4, 5]],
    ["0-1", [0, 1, 2, 3]],
    ["2-last.feedForward", [5, 7]],
    ["attention", [0, 2, 4, 6]],
    ["0.feedForward+last", [1, 6, 7]],
  ])("%s", (at, expected) => {
    expect(positions(at, 4)).toEqual(expected);
    expect(positions(writePlaces(expected), 4)).toEqual(expected);
  });
  test("sublayers are written with few words", () => {
    expect(writePlaces([5, 0, 1, 2, 3])).toBe("0-1+2.feedForward");
    expect(writePlaces([0, 2, 4, 9])).toBe("0-2.attention+4.feedForward");
    expect(writePlaces([])).toBe("none");
  });
  test.each(["", "first", "1-", "0-3.mlp", "attention.0", "0++1", {}, "1.5"])("%j names no places", (text) => {
    expect(() => parsePlaces(text)).toThrow(/it must name places joined by \+/);
  });
});

describe("what the others have", () => {
  test("a residual connection of the same state", () => {
    const plain = { kind: "mhc", streams: 2, iterations: 20, maps: "none" };
    expect(plainBeside(connectionSchema.parse({ kind: "mhc", streams: 2, residualMap: "identity" }))).toEqual(plain);
    expect(plainBeside(connectionSchema.parse({ kind: "hc", streams: 2 }))).toEqual({ ...plain, collapse: "sum" });
    expect(plainBeside(defaultConnection("frac"))).toEqual({ kind: "residual" });
    expect(plainBeside(connectionSchema.parse({ kind: "mhc", streams: 2, convention: "deepseek-v4" }))).toEqual({
      ...plain,
      convention: "deepseek-v4",
    });
  });
  test.each([{ kind: "dense" }, { kind: "mhc", group: 2 }, { kind: "mhc", convention: "deepseek-v4.1" }])(
    "%j has none, and says so",
    (given) => {
      expect(() => plainBeside(connectionSchema.parse(given))).toThrow(/which no residual connection passes on/);
    },
  );
});

describe("in a configuration", () => {
  const parse = (connection: unknown) => modelSchema.safeParse({ ...tinySize, connection });
  test("at is short for a default and overrides", () => {
    const { connection } = parse({ kind: "mhc", streams: 2, at: "1.attention" }).data!;
    expect(connection).toEqual({
      default: { kind: "mhc", streams: 2, iterations: 20, maps: "none" },
      overrides: [{ layers: "1", role: "attention", connection: { kind: "mhc", streams: 2, iterations: 20 } }],
    });
    expect(parse(connection).data!.connection).toEqual(connection);
    expect(isMixed(parse({ kind: "mhc", at: 1 }).data!.connection)).toBe(true);
  });
  test("mistakes are told of where they stand", () => {
    const said = (connection: unknown): string => {
      const { path, message } = parse(connection).error!.issues[0]!;
      return `${path.join(".")}: ${message}`;
    };
    expect(said({ kind: "mhc", at: "first" })).toMatch(/^connection\.at: at: "first" is given; it must name places/);
    expect(said({ kind: "dense", at: "0" })).toMatch(/^connection\.at: .*Leave at out/);
    expect(said({ kind: "mhc", streams: 0, at: "0" })).toMatch(/^connection\.streams: 0 is given/);
    expect(said({ kind: "mhc", at: "0-5" })).toMatch(/"0-5" must name layers from 0 to 1/);
  });
  test("the command line takes it as an option of any connection", () => {
    const choice = parseChoice("mhc:maps=post:at=0.attention+last");
    expect(choice.name).toBe("mhc-maps=post-at=0.attention_last");
    expect(connectionOf(choice, { streams: 2 })).toEqual({
      kind: "mhc",
      streams: 2,
      iterations: 20,
      maps: "post",
      at: "0.attention+last",
    });
    expect(() => parseChoice("mhc:at=first")).toThrow(/mhc:at=first: at: "first" is given/);
    expect(() => parseChoice("dense:at=0")).toThrow(/no residual connection passes on/);
  });
});

describe("a model with mHC in some sublayers", () => {
  const connection = connectionAt({ kind: "mhc", streams: 4, iterations: 20 }, "0.feedForward+last.attention");
  test("passes its streams through all of them, and what is read there is one number a token", () => {
    const model = { ...tinyConfig("residual", { layers: 3 }), connection };
    expect(sublayerRuns(model)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(sublayerRows(model).map(({ parameters }) => parameters > 0)).toEqual([0, 1, 0, 0, 1, 0].map(Boolean));
    const tiny = tinyModel(model);
    const outputs = { loss: tiny.loss, ...tiny.gradients };
    const [expected, actual] = [createReferenceRuntime(), wasm].map((runtime) => runTiny(runtime, tiny, outputs));
    for (const [name, numbers] of Object.entries(expected!))
      expect(relativeError(actual![name]!, numbers), name).toBeLessThan(1e-4);
    // What leaves a sublayer without maps still differs between streams.
    const { sublayers } = tiny.model.hidden(tiny.tokens);
    const { streams } = runTiny(wasm, tiny, { streams: sublayers[3]!.streams! });
    expect(streams!.slice(0, 16)).not.toEqual(streams!.slice(16, 32));
  });

  test("trains, is measured in every sublayer, and its decoder says what the whole sequence says", async () => {
    const config = tinyTraining("mhc", { model: { connection: connectionAt(mhc, "last") }, steps: 6 });
    const trainer = createTrainer(wasm, config, tinyBatches(config));
    const results = await oneByOne(Array(6).keys(), () => trainer.trainStep({ instruments: true }));
    expect(results.at(-1)!.loss).toBeLessThan(results[0]!.loss);
    const { single, composite, sublayers } = results.at(-1)!.instruments!;
    expect(sublayers).toBeUndefined();
    // The identity in the first two sublayers: whatever gain there is is that of the last two.
    expect([...single!.forward.slice(0, 2), ...single!.backward.slice(0, 2)]).toEqual([1, 1, 1, 1]);
    expect(composite!.backward[0]).toBe(composite!.backward[2]);

    const text = [1, 5, 3, 7, 2, 9];
    const parameters = createParameters();
    const model = languageModel(config.model, parameters);
    for (const each of parameters.all) wasm.write(each.tensor, initialValues(each, 3));
    const whole = scoresOfWhole(wasm, model, text);
    const decoder = createDecoder(wasm, model, 1);
    const V = tinySize.vocabulary;
    const rows = text.map((token, position) => ({ slot: 0, position, token }));
    await decoder.read(rows.slice(0, 5), 1);
    const said = [...(await decoder.read([rows[5]!], 1))];
    expect(relativeError(said, whole.slice(5 * V))).toBeLessThan(1e-5);
    decoder.release();
  });
});
