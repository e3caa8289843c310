// Models whose sublayers use different connections: which use what, how they train, are saved and measured.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeSublayers, sublayerRows } from "../../src/cli/sublayers.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { createConnection, defaultConnection } from "../../src/connections/table.ts";
import { type ModelConfig, modelSchema } from "../../src/model/config.ts";
import {
  layersOf,
  type MixedConnectionConfig,
  modelConnection,
  sublayerConnections,
  sublayerRuns,
} from "../../src/model/overrides.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { createReferenceRuntime } from "../../src/runtime/reference/runtime.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { loadCheckpoint, saveCheckpoint } from "../../src/runs/checkpoint.ts";
import { parseTrainingConfig } from "../../src/training/config.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { tinyBatches, tinySize, tinyTraining } from "../training/tiny.ts";
import { relativeError } from "../ops/harness.ts";
import { runTiny, tinyConfig, tinyModel, tinyValues } from "./tiny.ts";
import { collect, oneByOne } from "../collect.ts";

let wasm: WasmRuntime;
beforeAll(async () => void (wasm = await createWasmRuntime({ threads: 2 })));
afterAll(() => wasm.close());

/** Six layers with every kind of neighbour: equal streams, other n, no streams, outputs, fractions. */
const everything: MixedConnectionConfig = {
  default: defaultConnection("mhc"),
  overrides: [
    { layers: [0], connection: { kind: "hc", streams: 4, collapse: "sum" } },
    { layers: "1", role: "feedForward", connection: { ...defaultConnection("mhc"), streams: 2 } as never },
    { layers: "2", connection: { kind: "residual" } },
    { layers: "3", role: "attention", connection: defaultConnection("frac") },
    { layers: "3", role: "feedForward", connection: { kind: "dense" } },
    { layers: "4", connection: { ...defaultConnection("attention-residuals"), blockSize: 2 } as never },
    { layers: "last", role: "feedForward", connection: defaultConnection("gated-residual") },
  ],
};
const kindsOf = (model: Pick<ModelConfig, "connection" | "layers">): string[] =>
  sublayerConnections(model).map(({ kind }) => kind);

describe("which sublayers", () => {
  test("lists, ranges, roles; the last override holds", () => {
    expect(layersOf(undefined, 3)).toEqual([0, 1, 2]);
    expect(layersOf([2, 0], 3)).toEqual([2, 0]);
    expect(layersOf("1-2", 4)).toEqual([1, 2]);
    expect(layersOf("2-last", 4)).toEqual([2, 3]);
    expect(layersOf("last", 4)).toEqual([3]);
    const [residual, dense, highway] = (["residual", "dense", "highway"] as const).map(defaultConnection) as [
      MixedConnectionConfig["default"],
      MixedConnectionConfig["default"],
      MixedConnectionConfig["default"],
    ];
    const overrides = [
      { role: "attention" as const, connection: dense },
      { layers: "1-last", role: "attention" as const, connection: highway },
    ];
    expect(kindsOf({ layers: 2, connection: { default: residual, overrides } })).toEqual([
      "dense",
      "residual",
      "highway",
      "residual",
    ]);
    expect(kindsOf({ layers: 2, connection: residual })).toEqual(Array(4).fill("residual"));
  });

  test("neighbours of one form make a run", () => {
    expect(sublayerRuns({ layers: 6, connection: everything })).toEqual([0, 0, 0, 3, 4, 4, 4, 7, 8, 8, 10, 10]);
    expect(modelConnection({ layers: 6, connection: everything }).form).toBe(
      "mixed: 4 streams, 2 streams, channels, all sums so far, outputs so far in blocks of 2",
    );
  });

  test("streams that are kept in another precision are another form", () => {
    const narrow = { ...defaultConnection("gated-residual"), streamPrecision: "bfloat16" } as const;
    const connection = {
      default: defaultConnection("mhc"),
      overrides: [{ layers: [1], connection: narrow as MixedConnectionConfig["default"] }],
    };
    expect(sublayerRuns({ layers: 3, connection })).toEqual([0, 0, 2, 2, 4, 4]);
    const tiny = tinyModel({ ...tinyConfig("residual", { layers: 3 }), connection });
    const [expected, actual] = [createReferenceRuntime(), wasm].map((runtime) =>
      runTiny(runtime, tiny, { loss: tiny.loss, ...tiny.gradients }),
    );
    // Two runtimes may round a number on the edge to either of two neighbours, 2⁻⁸ apart.
    for (const [name, numbers] of Object.entries(expected!))
      expect(relativeError(actual![name]!, numbers), name).toBeLessThan(0.02);
  });

  test("what is said wrongly is told of where it stands", () => {
    const problems = (connection: unknown): string[] =>
      modelSchema
        .safeParse({ ...tinySize, connection })
        .error!.issues.map(({ path: at, message }) => `${at.join(".")}: ${message}`);
    const residual = { kind: "residual" };
    const override = (fields: object): unknown => ({
      default: residual,
      overrides: [{ connection: residual }, { connection: residual, ...fields }],
    });
    expect(problems(override({ layers: "1-5" }))).toEqual([
      'connection.overrides.1.layers: layers "1-5" must name layers from 0 to 1 (the model has 2); a range must not end before it starts.',
    ]);
    expect(problems(override({ layers: "1-0" }))[0]).toMatch(/layers "1-0" must name layers from 0 to 1/);
    expect(problems(override({ layers: [2] }))[0]).toMatch(/layers \[2\] must name layers from 0 to 1/);
    expect(problems(override({ layers: "first" }))[0]).toMatch(
      /^connection\.overrides\.1\.layers: layers must be a list of layers, such as \[0, 1\], or a range/,
    );
    expect(problems(override({ role: "mlp" }))[0]).toMatch(
      /^connection\.overrides\.1\.role: "mlp" is given; it must be "attention", "feedForward"/,
    );
    expect(problems(override({ connection: { kind: "mhc", streams: 0 } }))[0]).toMatch(
      /^connection\.overrides\.1\.connection\.streams: /,
    );
    expect(problems({ kind: "none" })[0]).toMatch(/^connection\.kind: /);
    expect(problems({ kind: "dense", streams: 4 })[0]).toMatch(/^connection: there is no field streams/);
  });

  test("plain configurations read back as they were written, so that older runs resume", () => {
    for (const connection of [
      { kind: "residual" },
      { kind: "hc", streams: 4, collapse: "sum" },
      { kind: "mhc", streams: 4, iterations: 20, collapse: "mean" },
    ]) {
      const parsed = modelSchema.parse({ ...tinySize, connection });
      expect(JSON.stringify(parsed.connection)).toBe(JSON.stringify(connection));
      expect(parsed).not.toHaveProperty("valueResidual");
    }
  });
});

test("a mixed model of equal connections is the plain model, to the bit", () => {
  const connection = defaultConnection("mhc");
  const alike = { default: connection, overrides: [{ layers: [1], connection }] };
  const logits = [connection, alike].map((config) => {
    const tiny = tinyModel({ ...tinyConfig("residual", { layers: 3 }), connection: config });
    return runTiny(wasm, tiny, { logits: tiny.logits, ...tiny.gradients });
  });
  expect(logits[1]).toEqual(logits[0]);
});

test("where all connections equal the residual at the start, so does their mixture", () => {
  const reference = createReferenceRuntime();
  const logits = (connection: ModelConfig["connection"]): ArrayLike<number> => {
    const { normEpsilon: _, ...sizes } = tinyConfig("residual", { layers: 4 });
    const tiny = tinyModel(modelSchema.parse({ ...sizes, connection }));
    return runTiny(reference, tiny, { logits: tiny.logits }).logits!;
  };
  const mixture: MixedConnectionConfig = {
    default: { kind: "hc", streams: 3, collapse: "mean" },
    overrides: [
      { layers: [1], role: "feedForward", connection: { kind: "residual" } },
      { layers: [2], role: "attention", connection: defaultConnection("frac") },
      { layers: [2], role: "feedForward", connection: { kind: "dense" } },
    ],
  };
  expect(relativeError(logits(mixture), logits({ kind: "residual" }))).toBeLessThan(1e-12);
});

test("kernels and reference agree on a mixed model, forward and backward", () => {
  const tiny = tinyModel({ ...tinyConfig("residual", { layers: 6, valueResidual: true }), connection: everything });
  const outputs = { loss: tiny.loss, ...tiny.gradients };
  const values = tinyValues(tiny, 0.05);
  const expected = runTiny(createReferenceRuntime(), tiny, outputs, values);
  const actual = runTiny(wasm, tiny, outputs, values);
  for (const [name, numbers] of Object.entries(expected))
    expect(relativeError(actual[name]!, numbers), name).toBeLessThan(1e-4);
});

describe("training", () => {
  const model = { layers: 6, connection: everything, valueResidual: true };
  const config = parseTrainingConfig(JSON.parse(JSON.stringify(tinyTraining("residual", { model }))));

  test("a mixed model learns, is saved, and goes on from its checkpoint to the same bytes", async () => {
    const trainer = createTrainer(wasm, config, tinyBatches(config));
    const losses = (await oneByOne(Array(12).keys(), () => trainer.trainStep())).map(({ loss }) => loss);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.1);

    const half = createTrainer(wasm, config, tinyBatches(config));
    for (let step = 0; step < 5; step++) await half.trainStep();
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-mixed-"));
    try {
      const place = saveCheckpoint(folder, { ...(await half.save()), state: {} });
      const again = createTrainer(wasm, config, tinyBatches(config));
      again.restore(loadCheckpoint(place.folder));
      for (let step = 5; step < 12; step++) await again.trainStep();
      for (const [index, { name, data }] of (await trainer.save()).model.entries()) {
        const other = (await again.save()).model[index]!;
        expect(other.name).toBe(name);
        expect(other.data).toEqual(data);
      }
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
    expect(Number.isFinite((await trainer.evaluate()).loss)).toBe(true);
    expect(await collect(trainer.generate([1, 2], { maxTokens: 3, random: () => 0.5 }))).toHaveLength(3);
  });

  test.each([1, 2])("gains are those of each run of equal streams, %i microbatches", async (accumulate) => {
    const trainer = createTrainer(wasm, { ...config, accumulate }, tinyBatches({ ...config, accumulate }));
    const { single, composite, sublayers, effectiveStreams, mixing } = (
      await trainer.trainStep({
        instruments: true,
      })
    ).instruments!;
    // hc hc mhc | n = 2 | residual … | mhc, then a gated residual, which mixes nothing
    expect(sublayers).toEqual([0, 1, 2, 3, 10]);
    for (const { forward, backward } of [single!, composite!]) {
      expect(forward).toHaveLength(5);
      expect(backward).toHaveLength(5);
    }
    // A run of one is its own product.
    for (const index of [3, 4]) {
      expect(composite!.forward[index]).toBe(single!.forward[index]);
      expect(composite!.backward[index]).toBe(single!.backward[index]);
    }
    expect(mixing!.map((matrix) => matrix.length)).toEqual([16, 16, 16, 4, 16]);
    for (const effective of effectiveStreams!) expect(effective).toBeGreaterThan(0.999);
  });

  test("a plain model's record has no list of sublayers; a model without streams has norms only", async () => {
    const plain = tinyTraining("mhc");
    const trainer = createTrainer(wasm, plain, tinyBatches(plain));
    const { instruments } = await trainer.trainStep({ instruments: true });
    expect(instruments!.single!.forward).toHaveLength(4);
    expect(instruments!.sublayers).toBeUndefined();
    const none = tinyTraining("dense");
    const other = createTrainer(wasm, none, tinyBatches(none));
    const seen = (await other.trainStep({ instruments: true })).instruments!;
    expect(Object.keys(seen)).toEqual(["activation", "blockOutput", "gradient", "groups"]);
    expect((await other.trainStep()).instruments).toBeUndefined();
  });
});

describe("what inspect says", () => {
  test("a table of a mixed model: boundaries, and parameters that add up", () => {
    const model = modelSchema.parse({ ...tinySize, layers: 6, connection: everything });
    const rows = sublayerRows(model);
    expect(rows[0]).toEqual({
      layer: 0,
      role: "attention",
      connection: "hc:streams=4:collapse=sum",
      form: "4 streams",
      boundary: false,
      parameters: 6 * 16 + 3 + 24,
    });
    expect(rows.map(({ boundary }) => boundary)).toEqual(
      [0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0].map((boundary) => boundary === 1),
    );
    const parameters = createParameters();
    languageModel(model, parameters);
    const trained = parameters.all.filter(({ role, name }) => role === "connection" && !name.startsWith("ending."));
    expect(rows.reduce((sum, row) => sum + row.parameters, 0)).toBe(
      trained.reduce((sum, { tensor }) => sum + tensor.shape.reduce((a, b) => a * b, 1), 0),
    );
    const lines = describeSublayers(rows).split("\n");
    expect(lines).toHaveLength(13);
    expect(lines[0]).toMatch(/^layer +role +connection +state +parameters$/);
    expect(lines[4]).toMatch(/^1 +feedForward +mhc:streams=2:iterations=20 +2 streams \(anew\) +267$/);
  });
  test("one line where all are alike", () => {
    const model = modelSchema.parse({ ...tinySize, connection: { kind: "dense" } });
    expect(describeSublayers(sublayerRows(model))).toBe(
      "every sublayer: dense; its state is all sums so far; 14 parameters in all connections",
    );
  });
});

test("a learned end stands only where the last sublayer has one", () => {
  const names = (connection: ModelConfig["connection"]): string[] => {
    const parameters = createParameters();
    languageModel({ ...tinyConfig("residual", { layers: 2 }), connection }, parameters);
    return parameters.all.map(({ name }) => name).filter((name) => name.startsWith("ending."));
  };
  const gated = defaultConnection("gated-residual");
  expect(names(gated)).toEqual(["ending.norm", "ending.down", "ending.up"]);
  const residual = { kind: "residual" } as const;
  expect(names({ default: gated, overrides: [{ layers: "last", connection: residual }] })).toEqual([]);
  expect(names({ default: residual, overrides: [{ layers: "last", connection: gated }] })).toHaveLength(3);
  expect(createConnection(gated).form).toBe("4 streams");
});
