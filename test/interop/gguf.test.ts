// A residual run as GGUF: the Python reader of the format reads it, and transformers computes its logits and its tokens.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exportGguf } from "../../src/interop/gguf/export.ts";
import { tokenizerFields } from "../../src/interop/gguf/tokenizer-fields.ts";
import { readTokenizer } from "../../src/data/tokenizer-file.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { modelSchema } from "../../src/model/config.ts";
import { logitsOf, makeRun, models, someTokens, tokenizer, trainedWeights } from "./hf.ts";
import { findPeer } from "./peer.ts";

const script = fileURLToPath(new URL("gguf-peer.py", import.meta.url));
const peer = findPeer(
  "gguf.test.ts",
  "import gguf, torch, transformers, accelerate",
  "gguf, torch, transformers and accelerate",
);
const place = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-gguf-"));
afterAll(() => fs.rmSync(place, { recursive: true }));

interface Answer {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, readonly number[]>>;
  readonly logits: readonly number[];
  readonly ids: readonly (readonly number[])[];
}

const texts = ["The nation's 12 laws, and\n\n  more.", "a<|endoftext|>b", "déjà 你好"];

describe.skipIf(!peer.found)("the Python readers", () => {
  const names = ["plain attention", "grouped queries"];
  let answers: Answer[];
  beforeAll(() => {
    const asked = names.map((name) => {
      const { model } = models[name]!;
      const [run, folder] = [path.join(place, `${name}-run`), path.join(place, name)];
      makeRun(run, model, trainedWeights(model));
      exportGguf(run, folder);
      return { folder, tokens: someTokens(model), texts };
    });
    answers = JSON.parse(peer.ask(script, [], JSON.stringify(asked))) as Answer[];
  }, 120_000);

  test.each(names)("%s: the same logits and tokens", (name) => {
    const { model } = models[name]!;
    const { fields, tensors, ids, logits } = answers[names.indexOf(name)]!;
    expect(fields).toMatchObject({
      "general.architecture": "llama",
      "llama.block_count": model.layers,
      "llama.attention.head_count_kv": model.kvHeads,
      "llama.rope.freq_base": model.ropeTheta,
      "tokenizer.ggml.pre": "gpt-2",
      "tokenizer.ggml.eos_token_id": tokenizer.endOfText,
    });
    expect(Object.keys(tensors)).toHaveLength(9 * model.layers + 3);
    expect(tensors["blk.1.ffn_down.weight"]).toEqual([model.hidden, model.width]);
    expect(ids).toEqual(texts.map((text) => [...tokenizer.encode(text)]));
    const ours = logitsOf(peer.runtime(), model, trainedWeights(model));
    expect(logits.length).toBe(ours.length);
    expect(Math.max(...ours.map(Math.abs))).toBeGreaterThan(0.5);
    expect(Math.max(...ours.map((value, i) => Math.abs(value - logits[i]!)))).toBeLessThan(1e-4);
  });
});

test.each(["latent attention", "mHC"])("%s is refused, and nothing is written", (name) => {
  const { model } = models[name]!;
  const [run, folder] = [path.join(place, `${name}-run`), path.join(place, `${name}-out`)];
  makeRun(run, model, trainedWeights(model));
  expect(() => exportGguf(run, folder)).toThrow(/gguf: .* is a (deepseek_v3|birkhoff_mhc) model; .*Export it as onnx/);
  expect(fs.existsSync(folder)).toBe(false);
});

test("what Hugging Face has no names for either is refused as GGUF, and sent to onnx alone", () => {
  const model = modelSchema.parse({ ...models["plain attention"]!.model, headMixing: { of: "values" } });
  const run = path.join(place, "head-mixing-run");
  makeRun(run, model, trainedWeights(model));
  expect(() => exportGguf(run, path.join(place, "head-mixing"))).toThrow(
    /^gguf: .* cannot be written: it has headMixing, .*Export it as onnx, which holds any graph$/,
  );
  const some = modelSchema.parse({ ...models["mHC"]!.model, connection: { kind: "mhc", maps: "pre-post" } });
  const other = path.join(place, "some-maps-run");
  makeRun(other, some, trainedWeights(some));
  expect(() => exportGguf(other, path.join(place, "some-maps"))).toThrow(/ is a birkhoff_mhc model; .*, or as hf$/);
});

test.each([
  ["llama3-style", "llama-bpe"],
  ["qwen-nfc", "qwen2"],
  ["deepseek-v3-splits", "deepseek-v3"],
  ["smollm-digits", "smollm"],
])("the tokenizer %s cuts as %s", (name, cut) => {
  const file = fileURLToPath(new URL(`../fixtures/tokenizers/${name}.json`, import.meta.url));
  const read = readTokenizer(file);
  const fields = tokenizerFields(read);
  expect(fields["tokenizer.ggml.pre"]).toEqual({ text: cut });
  const { texts } = fields["tokenizer.ggml.tokens"] as { texts: string[] };
  expect(texts).toHaveLength(read.vocabularySize);
});

test("what llama.cpp does otherwise is told", () => {
  const { definition } = tokenizer;
  const told = (changes: Partial<typeof definition>): string[] => {
    const messages: string[] = [];
    tokenizerFields(new Tokenizer({ ...definition, ...changes }), (message) => messages.push(message));
    return messages;
  };
  expect(told({})).toEqual([]);
  expect(told({ normalForms: ["NFC"] })).toEqual([expect.stringContaining("normal form NFC")]);
  expect(told({ ignoreMerges: true })).toEqual([expect.stringContaining("a token whole")]);
});

test("a tokenizer that cuts in a way without a name is refused", () => {
  const { definition } = tokenizer;
  const odd = new Tokenizer({ ...definition, words: { ...definition.words, prefixSpace: true } });
  expect(() => tokenizerFields(odd)).toThrow(/cuts texts by .*prefixSpace.*allowed are the ways of gpt-2, smollm/);
});
