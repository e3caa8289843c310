// What inspect says of a checkpoint is what a trainer reads of the same parameters; of a file, what its formulas say.

import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { describeInstruments } from "../../src/report/instruments-text.ts";
import { convertFile } from "../../src/interop/convert.ts";
import { inspectCheckpoint, inspectFile } from "../../src/study/inspect.ts";
import { encodeSafetensors } from "../../src/files/write-safetensors.ts";
import type { SavedTensor } from "../../src/training/state.ts";
import { createTrainer } from "../../src/training/trainer.ts";
import { makeWorkplace } from "../e2e/cli.ts";
import { tinyBatches, tinyTraining } from "../training/tiny.ts";

const place = makeWorkplace();
let runtime: WasmRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 1 })));
afterAll(() => {
  runtime.close();
  place.remove();
});

function write(name: string, tensors: readonly SavedTensor[]): string {
  const file = place.at(name);
  fs.writeFileSync(file, Buffer.concat(encodeSafetensors(tensors.map((tensor) => ({ ...tensor, dtype: "F32" })))));
  return file;
}

const largest = (values: readonly number[] | undefined): number => Math.max(...values!);

describe("a checkpoint", () => {
  test.each(["mhc", "hc", "residual"] as const)("of %s: the same numbers as while it trained", async (kind) => {
    const config = tinyTraining(kind);
    const batches = tinyBatches(config);
    const trainer = createTrainer(runtime, config, batches);
    await trainer.trainStep();
    const { model } = await trainer.save();
    const tokens = batches.trainingBatch(1).tokens.slice(0, config.model.context);
    const {
      gradient: _gradient,
      groups: _groups,
      ...seen
    } = (await trainer.trainStep({ instruments: true })).instruments!;
    const inspected = await inspectCheckpoint(runtime, config.model, { model }, tokens);
    expect(inspected).toEqual(seen);
    // A shorter text is a text too.
    const short = await inspectCheckpoint(runtime, config.model, { model }, tokens.subarray(0, 1));
    expect(short.activation).toHaveLength(4);
  });
  test("too many tokens, too few, and another model's tensors", async () => {
    const { model: config } = tinyTraining("residual");
    const checkpoint = { model: [] };
    await expect(inspectCheckpoint(runtime, config, checkpoint, [])).rejects.toThrow(
      "inspect: give 1 to 12 tokens (the model's context), got 0.",
    );
    await expect(inspectCheckpoint(runtime, config, checkpoint, Array(13).fill(1))).rejects.toThrow("got 13.");
    await expect(inspectCheckpoint(runtime, config, checkpoint, [1])).rejects.toThrow('has no tensor "embedding"');
  });
});

describe("a file", () => {
  const trained = async (kind: "mhc" | "hc" | "residual", layers = 2): Promise<readonly SavedTensor[]> => {
    const config = tinyTraining(kind, { model: { layers }, optimizer: { learningRate: 5e-2 } });
    const trainer = createTrainer(runtime, config, tinyBatches(config));
    for (let step = 0; step < 4; step++) await trainer.trainStep();
    return (await trainer.save()).model;
  };

  test("of ours and the same function under DeepSeek's names have the same instruments", async () => {
    const ours = write("ours.safetensors", await trained("mhc"));
    const theirs = place.at("theirs.safetensors");
    convertFile(ours, theirs, { from: "paper", to: "deepseek-v4" });
    const [one, other] = [inspectFile(ours), inspectFile(theirs)];
    expect(one.conventions).toEqual(Array(4).fill("paper"));
    expect(other.conventions).toEqual(Array(4).fill("deepseek-v4"));
    expect(other.names).toEqual(one.names);
    expect(largest(one.instruments.rowError)).toBeLessThan(1e-12);
    expect(largest(one.instruments.columnError)).toBeGreaterThan(1e-9);
    for (const field of ["secondEigenvalue", "distance", "largestLogit"] as const)
      for (const [index, value] of one.instruments[field]!.entries())
        expect(other.instruments[field]![index]).toBeCloseTo(value!, 4);
    for (const [index, matrix] of one.instruments.mixing!.entries())
      for (const [at, value] of matrix.entries()) expect(other.instruments.mixing![index]![at]).toBeCloseTo(value, 4);
    expect(one.instruments.streamCosine).toBeUndefined();
    expect(one.instruments.activation).toBeUndefined();
  });
  test("read as another convention shows at once: now the columns are exact and the rows are not", async () => {
    const file = write("as-liger.safetensors", await trained("mhc"));
    const { rowError, columnError } = inspectFile(file, { convention: "liger", iterations: 3 }).instruments;
    expect(largest(columnError)).toBeLessThan(1e-5);
    expect(largest(rowError)).toBeGreaterThan(10 * largest(columnError));
  });
  test("eleven layers stand in the order of their numbers; HC has no logits and other gains", async () => {
    const { names, instruments } = inspectFile(write("hc.safetensors", await trained("hc", 11)));
    expect(names.slice(0, 5)).toEqual([
      "layers.0.attention",
      "layers.0.feedForward",
      "layers.1.attention",
      "layers.1.feedForward",
      "layers.2.attention",
    ]);
    expect(names.at(-1)).toBe("layers.10.feedForward");
    expect(instruments.largestLogit).toEqual(Array(22).fill(null));
    expect(instruments.single!.forward[0]).toBe(instruments.composite!.forward[0]);
    expect(Math.abs(instruments.single!.forward[7]! - 1)).toBeGreaterThan(1e-4);
  });
  test("without connections, or with ones that do not fit", async () => {
    const plain = write("plain.safetensors", await trained("residual"));
    expect(() => inspectFile(plain)).toThrow(/plain\.safetensors has no connections of HC or mHC: no tensor is named/);
    const file = write("theta.safetensors", await trained("hc"));
    expect(() => inspectFile(file, { convention: "paper" })).toThrow(
      /^layers\.0\.attention\.connection does not fit the convention paper: phi is missing\. Name another with --convention/,
    );
    const mhc = write("phi.safetensors", await trained("mhc"));
    expect(() => inspectFile(mhc, { convention: "hc-dynamic" })).toThrow("theta must be [6, C]");
    expect(() => inspectFile(path.join(place.folder, "none.safetensors"))).toThrow(/none\.safetensors/);
  });
});

describe("as text", () => {
  test("only what is known; sublayers that do not mix are in the blocks alone", () => {
    const text = describeInstruments(
      {
        sublayers: [1],
        single: { forward: [1], backward: [2.5] },
        smallestLogit: [null],
        largestLogit: [null],
        mixing: [[0.5, 0.5, 0.25, 0.75]],
        activation: [0.1, 0.2],
        groups: { weight: { gradient: 1.5, weight: 20, update: 0.002 } },
      },
      ["a", "b"],
    );
    expect(text.split("\n").map((line) => line.trimEnd())).toEqual([
      "maps  gain fwd     bwd  logits",
      "──────────────────────────────",
      "2 b     1.0000  2.5000       –",
      "",
      "parameters  gradient norm    norm  update / norm",
      "────────────────────────────────────────────────",
      "weight            1.50000  20.000         2.0e-3",
      "",
      "blocks  reads (RMS)",
      "───────────────────",
      "1 a          0.1000",
      "2 b          0.2000",
      "",
      "H_res, averaged over the tokens (row = stream written to)",
      "",
      "2 b",
      " 0.50  0.50",
      " 0.25  0.75",
    ]);
  });
  test("a record of an old run, which has gains only", () => {
    const pair = { forward: [1, 1], backward: [1.1, 1.2] };
    const text = describeInstruments({ single: pair, composite: pair }, ["a", "b"]);
    expect(text.split("\n")).toHaveLength(4);
  });
});
