// ONNX Runtime computes the logits of an exported run, whatever its connection is.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { input, parameter } from "../../src/graph/state.ts";
import { gather } from "../../src/ops/gather.ts";
import { translateGraph } from "../../src/interop/onnx/graph.ts";
import { exportOnnx } from "../../src/interop/onnx/export.ts";
import { encodeModel } from "../../src/interop/onnx/model-file.ts";
import { sizeOfParts } from "../../src/interop/onnx/protobuf.ts";
import { type ModelConfig, modelSchema } from "../../src/model/config.ts";
import { logitsOf, makeRun, models, someTokens, trainedWeights } from "./hf.ts";
import { findPeer } from "./peer.ts";

const script = fileURLToPath(new URL("onnx-peer.py", import.meta.url));
const peer = findPeer("onnx.test.ts", "import onnx, onnxruntime", "onnx and onnxruntime");
const at = (...names: string[]): string => path.join(peer.place, ...names);

const other = (connection: object): ModelConfig =>
  modelSchema.parse({ ...models["mHC"]!.model, connection: { kind: "mhc", streams: 4, iterations: 8, ...connection } });

/** What the exchange with Hugging Face has no names for, too. */
const all: Readonly<Record<string, ModelConfig>> = {
  ...Object.fromEntries(Object.entries(models).map(([name, { model }]) => [name, model])),
  "a residual map of permutations": other({ residualMap: "permutations" }),
  "the conventions of V4.1": other({ convention: "deepseek-v4.1" }),
  "heads that mix, keys and values that pass on": modelSchema.parse({
    ...models["mHC"]!.model,
    headMixing: { of: "logits" },
    keyValues: { of: "both", connection: { kind: "mhc" } },
  }),
  "value residual": modelSchema.parse({ ...models["mHC"]!.model, valueResidual: true }),
};

describe.skipIf(!peer.found)("ONNX Runtime", () => {
  const names = Object.keys(all);
  let theirs: number[][];
  beforeAll(() => {
    const files = names.map((name, i) => {
      const model = all[name]!;
      makeRun(at(`run-${i}`), model, trainedWeights(model));
      exportOnnx(at(`run-${i}`), at(`onnx-${i}`), { batch: 2 });
      return at(`onnx-${i}`, "model.onnx");
    });
    const tokens = names.map((name) => someTokens(all[name]!));
    theirs = JSON.parse(peer.ask(script, [], JSON.stringify({ files, tokens }))) as number[][];
  }, 120_000);

  test.each(names)("%s: the same logits", (name) => {
    const model = all[name]!;
    const ours = logitsOf(peer.runtime(), model, trainedWeights(model));
    const answers = theirs[names.indexOf(name)]!;
    expect(answers.length).toBe(ours.length);
    const largest = (values: Iterable<number>): number =>
      [...values].reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    expect(largest(ours)).toBeGreaterThan(0.5);
    const difference = largest(ours.map((value, i) => value - answers[i]!));
    // Rounding to bfloat16 may fall either way.
    expect(difference).toBeLessThan(name.includes("bfloat16") ? 0.05 * largest(ours) : 1e-4);
  });

  test("weights in a file of their own are found there", () => {
    const table = Float32Array.from({ length: 600 }, (_, i) => i / 7);
    const rows = input("rows", [1, 3], "i32");
    const values = new Map([["table", table]]);
    const translated = translateGraph(gather(parameter("table", [300, 2]), rows), values, new Map([[rows, "narrow"]]));
    const cast = { type: "Cast", name: "narrow", inputs: ["input_ids"], output: "narrow", attributes: { to: 6 } };
    const identity = { type: "Identity", name: "end", inputs: [translated.result], output: "logits", attributes: {} };
    const graph = {
      name: "rows",
      nodes: [cast, ...translated.nodes, identity],
      initializers: translated.initializers,
      inputs: [{ name: "input_ids", type: "i64", shape: [1, 3] }],
      outputs: [{ name: "logits", type: "f32", shape: [1, 3, 2] }],
      notes: {},
    } as const;
    const { model, weights } = encodeModel(graph, "rows.data", 0);
    expect(sizeOfParts(weights!)).toBe(table.byteLength);
    expect(sizeOfParts(model)).toBeLessThan(table.byteLength);
    fs.writeFileSync(at("rows.onnx"), Buffer.concat(model));
    fs.writeFileSync(at("rows.data"), Buffer.concat(weights!));
    const asked = { files: [at("rows.onnx")], tokens: [[[299, 0, 7]]] };
    const [answer] = JSON.parse(peer.ask(script, [], JSON.stringify(asked))) as [number[]];
    expect(Float32Array.from(answer)).toEqual(Float32Array.of(598 / 7, 599 / 7, 0, 1 / 7, 2, 15 / 7));
  });
});

test("a connection whose steps depend on the values is refused, and nothing is written", () => {
  const model = other({ residualMap: "birkhoff-newton" });
  makeRun(at("projection-run"), model, trainedWeights(model));
  expect(() => exportOnnx(at("projection-run"), at("projection"))).toThrow(
    /ONNX has no operator for birkhoffProjection/,
  );
  expect(fs.existsSync(at("projection"))).toBe(false);
});

test("files that are there are not replaced unless that is asked for", () => {
  const { model } = models["mHC"]!;
  makeRun(at("again-run"), model, trainedWeights(model));
  exportOnnx(at("again-run"), at("again"), { length: 3 });
  expect(() => exportOnnx(at("again-run"), at("again"))).toThrow(/holds model.onnx, tokenizer.json/);
  expect(exportOnnx(at("again-run"), at("again"), { overwrite: true, length: 4 }).shape).toEqual([1, 4]);
});
