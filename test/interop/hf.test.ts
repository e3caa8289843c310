// Runs go out as Hugging Face stores models and come back, and models of that form become runs.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readTokenizer, writeTokenizer } from "../../src/data/tokenizer-file.ts";
import { Tokenizer } from "../../src/data/tokenizer.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { sizeOf } from "../../src/graph/tensor.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import { latestCheckpoint, loadCheckpoint } from "../../src/runs/checkpoint.ts";
import type { SavedTensor } from "../../src/training/state.ts";
import { exportHuggingFace } from "../../src/interop/hf/export.ts";
import { importHuggingFace } from "../../src/interop/hf/import.ts";
import { huggingFaceTensors } from "../../src/interop/hf/tensors.ts";
import { readSafetensors } from "../../src/files/safetensors.ts";
import { encodeHead, encodeSafetensors } from "../../src/files/write-safetensors.ts";
import { upcycledConnections, upcycle } from "../../src/interop/upcycle.ts";
import { lintFile } from "../../src/study/lint-file.ts";
import { logitsOf, makeRun, models, tokenizer, trainedWeights } from "./hf.ts";

const place = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-hf-"));
const at = (...names: string[]): string => path.join(place, ...names);
let runtime: WasmRuntime;
beforeAll(async () => void (runtime = await createWasmRuntime({ threads: 1 })));
afterAll(() => {
  runtime.close();
  fs.rmSync(place, { recursive: true });
});

const weightsOf = (run: string): readonly SavedTensor[] => loadCheckpoint(latestCheckpoint(run)!.folder).model;
const sameBits = (a: Float32Array, b: Float32Array): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));

/** An exported folder to change and import; the model is the one of that name. */
function exported(name: string, out: string): { folder: string; model: ModelConfig; weights: SavedTensor[] } {
  const { model } = models[name]!;
  const weights = trainedWeights(model);
  makeRun(at(`${out}-run`), model, weights);
  return { folder: exportHuggingFace(at(`${out}-run`), at(out)).folder, model, weights };
}

function changeConfig(folder: string, changes: object): void {
  const file = path.join(folder, "config.json");
  fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, "utf8")), ...changes }));
}

describe.each(Object.entries(models))("%s", (name, { model, type }) => {
  test("the tensors there are views of every number here, each once", () => {
    const parameters = createParameters();
    languageModel(model, parameters);
    const seen = new Map(parameters.all.map((each) => [each.name, new Uint8Array(sizeOf(each.tensor.shape))]));
    for (const { source, shape, offsets, stride } of huggingFaceTensors(model)) {
      expect(offsets.length).toBe(shape[0]);
      const width = sizeOf(shape) / shape[0]!;
      for (const offset of offsets) for (let i = 0; i < width; i++) seen.get(source)![offset + i * stride]!++;
    }
    for (const [parameter, counts] of seen)
      expect(
        counts.every((count) => count === 1),
        parameter,
      ).toBe(true);
  });

  test.runIf("kind" in model.connection && model.connection.kind !== "residual")(
    "the lint finds the run in its export",
    () => {
      const { folder } = exported(name, `linted ${name}`);
      for (const [one, other] of [
        [folder, `${folder}-run`],
        [`${folder}-run`, folder],
      ] as const)
        expect(lintFile(one, { against: other }).checks.slice(-2)).toMatchObject([
          { name: "against the other file", verdict: "good" },
          { name: "other tensors", verdict: "good" },
        ]);
      const file = path.join(folder, "model.safetensors");
      const { tensors } = readSafetensors(file);
      const changed = [...tensors].map(([tensor, { shape, data }]) => ({
        name: tensor,
        shape,
        data: Float32Array.from(data as Float32Array, (value) => (tensor.includes("down_proj") ? 1.01 * value : value)),
      }));
      fs.writeFileSync(file, Buffer.concat(encodeSafetensors(changed)));
      expect(lintFile(folder, { against: `${folder}-run` }).checks.at(-1)).toMatchObject({ verdict: "error" });
    },
  );
  test("goes out and comes back bit by bit, and computes the same", async () => {
    const { folder, weights } = exported(name, `back ${name}`);
    expect(JSON.parse(fs.readFileSync(path.join(folder, "config.json"), "utf8"))).toMatchObject({ model_type: type });
    const { config, noTokenizer } = await importHuggingFace(runtime, folder, at(`again ${name}`));
    expect(noTokenizer).toBeUndefined();
    const back = weightsOf(at(`again ${name}`));
    expect(back.map((tensor) => tensor.name)).toEqual(weights.map((tensor) => tensor.name));
    for (const [i, { name: tensor, data }] of weights.entries())
      expect(sameBits(back[i]!.data, data), tensor).toBe(true);
    expect(logitsOf(runtime, config.model, back)).toEqual(logitsOf(runtime, model, weights));
    expect(fs.readFileSync(at(`again ${name}`, "tokenizer.json"), "utf8")).toBe(
      fs.readFileSync(at(`back ${name}-run`, "tokenizer.json"), "utf8"),
    );
  });
});

const listed = (name: string): string[] =>
  huggingFaceTensors(models[name]!.model).map((view) => `${view.name} ${view.shape.join("x")}`);

test("the names and shapes of llama", () => {
  expect(listed("grouped queries").filter((line) => !line.includes("layers.1."))).toEqual([
    "model.embed_tokens.weight 270x16",
    "model.layers.0.input_layernorm.weight 16",
    "model.layers.0.self_attn.q_proj.weight 16x16",
    "model.layers.0.self_attn.k_proj.weight 8x16",
    "model.layers.0.self_attn.v_proj.weight 8x16",
    "model.layers.0.self_attn.o_proj.weight 16x16",
    "model.layers.0.post_attention_layernorm.weight 16",
    "model.layers.0.mlp.gate_proj.weight 24x16",
    "model.layers.0.mlp.up_proj.weight 24x16",
    "model.layers.0.mlp.down_proj.weight 16x24",
    "model.norm.weight 16",
    "lm_head.weight 270x16",
  ]);
});

test("the names and shapes of deepseek_v3, and of deepseek_v4's connection", () => {
  const experts = listed("experts and low-rank queries").filter(
    (line) => /layers\.2\./.test(line) && !/experts\.[1-4]/.test(line),
  );
  expect(experts.map((line) => line.replace("model.layers.2.", ""))).toEqual([
    "input_layernorm.weight 16",
    "self_attn.q_a_proj.weight 8x16",
    "self_attn.q_a_layernorm.weight 8",
    "self_attn.q_b_proj.weight 33x8",
    "self_attn.kv_a_proj_with_mqa.weight 18x16",
    "self_attn.kv_a_layernorm.weight 12",
    "self_attn.kv_b_proj.weight 36x12",
    "self_attn.o_proj.weight 16x21",
    "post_attention_layernorm.weight 16",
    "mlp.gate.weight 5x16",
    "mlp.gate.e_score_correction_bias 5",
    "mlp.experts.0.gate_proj.weight 9x16",
    "mlp.experts.0.up_proj.weight 9x16",
    "mlp.experts.0.down_proj.weight 16x9",
    "mlp.shared_experts.gate_proj.weight 18x16",
    "mlp.shared_experts.up_proj.weight 18x16",
    "mlp.shared_experts.down_proj.weight 16x18",
  ]);
  expect(listed("mHC with a learned end").filter((line) => /layers\.1\..*_hc|hc_head/.test(line))).toEqual([
    "model.layers.1.attn_hc.fn 8x32",
    "model.layers.1.attn_hc.scale 3",
    "model.layers.1.attn_hc.base 8",
    "model.layers.1.ffn_hc.fn 8x32",
    "model.layers.1.ffn_hc.scale 3",
    "model.layers.1.ffn_hc.base 8",
    "model.hc_head.hc_fn 2x32",
    "model.hc_head.hc_scale 1",
    "model.hc_head.hc_base 2",
  ]);
});

describe("export", () => {
  test("writes fractions as fractions, which Hugging Face's reader insists on", () => {
    const { folder } = exported("latent attention", "fractions");
    const text = fs.readFileSync(path.join(folder, "config.json"), "utf8");
    expect(text).toMatch(/"routed_scaling_factor": 1\.0,\n/);
    expect(text).toMatch(/"rope_theta": 10000\.0,\n/);
    expect(text).toMatch(/"n_group": 1,\n/);
  });

  test("refuses what has no names there, says what is in the way, and never replaces a run", () => {
    const wrong: [object, string][] = [
      [{ connection: { kind: "highway", bias: -2 } }, "its connection is highway"],
      [{ connection: { default: { kind: "residual" }, overrides: [] } }, "different connections"],
      [{ connection: { kind: "mhc", streams: 2, convention: "liger" } }, "its convention is liger"],
      [{ connection: { kind: "mhc", streams: 2, residualMap: "cayley" } }, "its residual map is cayley"],
      [{ valueResidual: true }, "it has valueResidual"],
      [{ feedForward: { kind: "moe", experts: 2, active: 1, hidden: 4 } }, "plain attention and a mixture of experts"],
    ];
    for (const [i, [changes, message]] of wrong.entries()) {
      makeRun(at(`wrong${i}`), { ...models["grouped queries"]!.model, ...changes }, []);
      expect(() => exportHuggingFace(at(`wrong${i}`), at(`wrong${i}-hf`))).toThrow(message);
      expect(fs.existsSync(at(`wrong${i}-hf`))).toBe(false);
    }
    const { folder, model, weights } = exported("grouped queries", "there");
    expect(() => exportHuggingFace(at("there-run"), folder)).toThrow(/holds model\.safetensors.*already/);
    exportHuggingFace(at("there-run"), folder, { overwrite: true });
    makeRun(at("other-run"), model, weights);
    for (const run of ["there-run", "other-run"])
      expect(() => exportHuggingFace(at("there-run"), at(run), { overwrite: true })).toThrow("is a run folder");
  });
});

describe("import", () => {
  test("reads shards, halves and bfloat16 as float32", async () => {
    const { folder, model, weights } = exported("grouped queries", "shards");
    const whole = readSafetensors(path.join(folder, "model.safetensors")).tensors;
    fs.rmSync(path.join(folder, "model.safetensors"));
    const weight_map: Record<string, string> = {};
    const shards: { name: string; dtype: string; shape: readonly number[]; raw: Uint8Array }[][] = [[], [], []];
    for (const [i, [name, { shape, data }]] of [...whole].entries()) {
      const bits = new Uint32Array(Float32Array.from(data).buffer);
      const dtype = ["F32", "BF16", "F16"][i % 3]!;
      const raw = {
        F32: () => bits,
        BF16: () => Uint16Array.from(bits, (value) => value >>> 16),
        F16: () => Uint16Array.from(data, halfOf),
      }[dtype]!();
      shards[i % 3]!.push({ name, dtype, shape, raw: new Uint8Array(raw.buffer) });
      weight_map[name] = `model-0000${(i % 3) + 1}-of-00003.safetensors`;
    }
    for (const [i, tensors] of shards.entries()) {
      const head = encodeHead(tensors.map(({ raw, ...tensor }) => ({ ...tensor, bytes: raw.length })));
      fs.writeFileSync(
        path.join(folder, `model-0000${i + 1}-of-00003.safetensors`),
        Buffer.concat([head, ...tensors.map(({ raw }) => raw)]),
      );
    }
    fs.writeFileSync(path.join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
    await importHuggingFace(runtime, folder, at("from-shards"));
    const old = logitsOf(runtime, model, weights);
    const read = logitsOf(runtime, model, weightsOf(at("from-shards")));
    const difference = old.reduce((most, value, i) => Math.max(most, Math.abs(value - read[i]!)), 0);
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(0.05);
    const [embedding] = weightsOf(at("from-shards"));
    expect(sameBits(embedding!.data, weights[0]!.data)).toBe(true);

    weight_map["model.norm.weight"] = "../elsewhere.safetensors";
    fs.writeFileSync(path.join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map }));
    await expect(importHuggingFace(runtime, folder, at("none"))).rejects.toThrow(
      'puts model.norm.weight in "../elsewhere',
    );
  });

  test("gives a model streams, with the same logits", async () => {
    const { folder, model, weights } = exported("grouped queries", "wide");
    for (const kind of ["mhc", "hc"] as const) {
      const connection = upcycledConnections[kind](3);
      const { config, difference } = await importHuggingFace(runtime, folder, at(`wide-${kind}`), { connection });
      expect(config.model.connection).toMatchObject({ kind, streams: 3 });
      expect(difference).toBeLessThan(1e-4);
      const [old, wide] = [
        logitsOf(runtime, model, weights),
        logitsOf(runtime, config.model, weightsOf(at(`wide-${kind}`))),
      ];
      for (const [i, value] of old.entries()) expect(Math.abs(value - wide[i]!)).toBeLessThan(1e-4);
    }
    const streams = exported("mHC", "streams").folder;
    await expect(
      importHuggingFace(runtime, streams, at("none"), { connection: upcycledConnections.mhc(4) }),
    ).rejects.toThrow("has streams already");
  });

  test("makes an output matrix of its own where it was the embedding", async () => {
    const { folder, model, weights } = exported("grouped queries", "tied");
    rewrite(folder, (tensors) => tensors.delete("lm_head.weight"));
    changeConfig(folder, { tie_word_embeddings: true });
    const { notes } = await importHuggingFace(runtime, folder, at("untied"));
    expect(notes).toEqual([expect.stringContaining("Its output matrix was the embedding")]);
    const read = new Map(weightsOf(at("untied")).map(({ name, data }) => [name, data]));
    const embedding = weights.find(({ name }) => name === "embedding")!.data;
    expect(sameBits(read.get("embedding")!, embedding)).toBe(true);
    const { vocabulary: V, width: C } = model;
    for (let v = 0; v < V; v++)
      for (let c = 0; c < C; c++) expect(read.get("head")![c * V + v]).toBe(embedding[v * C + c]);
  });

  test("keeps an output matrix that differs from the embedding, as transformers does, whatever the field says", async () => {
    const { folder, weights } = exported("grouped queries", "untied-after-all");
    changeConfig(folder, { tie_word_embeddings: true });
    const { notes } = await importHuggingFace(runtime, folder, at("own-head"));
    expect(notes).toEqual([
      expect.stringContaining("lm_head.weight was taken as it is: it differs from the embedding"),
    ]);
    expect(weightsOf(at("own-head"))).toEqual(weights);
  });

  test("reads heads whose turned columns are not in pairs", async () => {
    const { folder } = exported("latent attention", "halves");
    changeConfig(folder, { rope_interleave: false });
    await importHuggingFace(runtime, folder, at("from-halves"));
    const [query] = weightsOf(at("from-halves")).filter(({ name }) => name === "layers.0.attention.query");
    const stored = readSafetensors(path.join(folder, "model.safetensors")).tensors.get(
      "model.layers.0.self_attn.q_proj.weight",
    )!;
    // Head 0, input 0: six turned columns here first, there after the five of content, in the same order.
    for (let j = 0; j < 6; j++) expect(query!.data[j]).toBe(stored.data[(5 + j) * 16]);
  });

  test("says which field, which tensor, which file does not fit, and makes no run", async () => {
    const { folder } = exported("grouped queries", "refused");
    const original = fs.readFileSync(path.join(folder, "config.json"));
    const tensors = fs.readFileSync(path.join(folder, "model.safetensors"));
    const refused = async (changes: object): Promise<string> => {
      fs.writeFileSync(path.join(folder, "config.json"), original);
      changeConfig(folder, changes);
      return await errorOf(async () => await importHuggingFace(runtime, folder, at("made")));
    };
    expect(await refused({ attention_bias: true })).toMatch(/config\.json has attention_bias true; allowed: false/);
    expect(await refused({ hidden_act: "gelu" })).toMatch(/hidden_act "gelu"; allowed: "silu"/);
    expect(await refused({ rope_scaling: { rope_type: "llama3", factor: 8 } })).toMatch(
      /rope_scaling .*llama3.*; allowed: null/,
    );
    expect(await refused({ rope_parameters: { rope_type: "yarn" } })).toMatch(/rope_parameters .*yarn/);
    expect(await refused({ model_type: "mistral", sliding_window: 9 })).toMatch(/sliding_window 9; allowed: null/);
    expect(await refused({ head_dim: 32 })).toMatch(/head_dim 32; allowed: hidden_size \/ num_attention_heads/);
    expect(await refused({ quantization_config: { quant_method: "fp8" } })).toMatch(/quantization_config .*fp8/);
    expect(await refused({ model_type: "gpt2" })).toMatch(/model_type "gpt2"; allowed: llama, mistral, deepseek_v3/);
    expect(await refused({ hidden_size: "16", head_dim: null })).toMatch(/hidden_size "16"; allowed: a whole number/);
    expect(await refused({ num_attention_heads: 3, head_dim: null })).toMatch(/3 heads do not divide the width 16/);
    expect(await refused({ rms_norm_eps: 0 })).toMatch(/rms_norm_eps 0; allowed: a number above 0/);
    expect(await refused({ intermediate_size: 25 })).toMatch(
      /gate_proj\.weight has the shape \[24, 16\], and its config\.json calls for \[25, 16\]/,
    );
    expect(await refused({ num_hidden_layers: 3 })).toMatch(
      /has no tensor model\.layers\.2\.input_layernorm\.weight \[16\]/,
    );
    expect(await refused({ num_hidden_layers: 600 })).toMatch(
      /config\.json has num_hidden_layers: 600 is given; it must be at most 512$/,
    );
    expect(await refused({ num_hidden_layers: 1 })).toMatch(
      /has a tensor model\.layers\.1\.\S+ and 8 others that this model has no place for/,
    );
    expect(await refused({ model_type: "mistral", sliding_window: null })).toBe("no error");
    fs.rmSync(at("made"), { recursive: true });

    const file = path.join(folder, "model.safetensors");
    fs.writeFileSync(file, tensors.subarray(0, tensors.length - 100));
    expect(await refused({})).toMatch(
      /model\.safetensors is not a sound safetensors file: it was cut off: lm_head\.weight/,
    );
    fs.renameSync(file, path.join(folder, "pytorch_model.bin"));
    expect(await refused({})).toMatch(
      /neither model\.safetensors nor .*; it holds pytorch_model\.bin\. Only safetensors/,
    );
    const whole = exported("grouped queries", "whole").folder;
    rewrite(whole, (all) => all.set("model.norm.weight", { shape: [16], data: new Int32Array(16) }));
    await expect(importHuggingFace(runtime, whole, at("made"))).rejects.toThrow(
      "model.norm.weight holds whole numbers (I32)",
    );
    rewrite(whole, (all) => all.set("model.norm.weight", { shape: [16], data: new Float32Array(16).fill(NaN, 3) }));
    await expect(importHuggingFace(runtime, whole, at("made"))).rejects.toThrow("number 3 of model.norm.weight is NaN");
    const experts = exported("experts and low-rank queries", "groups").folder;
    changeConfig(experts, { n_group: 4, topk_group: 2 });
    await expect(importHuggingFace(runtime, experts, at("made"))).rejects.toThrow("n_group 4; allowed: 1");
    changeConfig(experts, { n_group: undefined, topk_group: undefined });
    await expect(importHuggingFace(runtime, experts, at("made"))).rejects.toThrow(
      "n_group is missing, which means 8 in deepseek_v3",
    );
    const epsilon = exported("mHC", "epsilon").folder;
    changeConfig(epsilon, { hc_eps: 1e-3 });
    await expect(importHuggingFace(runtime, epsilon, at("made"))).rejects.toThrow(
      "hc_eps 0.001 and hc_norm_eps 1e-20; allowed: 1e-20 and 1e-20 (paper), 0.000001 and 0.000001 (deepseek-v4)",
    );
    await expect(importHuggingFace(runtime, at("epsilon-run"), at("made"))).rejects.toThrow("is that of a run already");
    expect(fs.existsSync(at("made"))).toBe(false);
  });

  test("missing fields are those of the transformers library, and sizes are counted before anything is built", async () => {
    const { folder } = exported("experts and low-rank queries", "missing");
    const original = fs.readFileSync(path.join(folder, "config.json"));
    const tensors = fs.readFileSync(path.join(folder, "model.safetensors"));
    const tried = async (changes: object): Promise<string> => {
      fs.writeFileSync(path.join(folder, "config.json"), original);
      changeConfig(folder, changes);
      return await errorOf(
        async () => await importHuggingFace(runtime, folder, at("missing-made"), { existing: "overwrite" }),
      );
    };
    // Two shared experts there; a missing field means one.
    expect(await tried({ n_shared_experts: undefined })).toMatch(/calls for \[9, 16\]/);
    expect(await tried({ q_lora_rank: undefined })).toMatch(/q_a_proj.*calls for \[1536, 16\]/);
    expect(await tried({ num_nextn_predict_layers: 1 })).toBe("no error");
    expect(await tried({ n_group: 5, topk_group: 5 })).toBe("no error");
    expect(await tried({ n_group: 5 })).toMatch(/n_group 5; allowed: 1, or as many as topk_group/);
    expect(await tried({ num_local_experts: 5, n_routed_experts: undefined })).toBe("no error");
    expect(await tried({ num_local_experts: 6 })).toMatch(/two names of one field/);
    const nested = { full_attention: { rope_type: "default", rope_theta: 500000 } };
    expect(await tried({ rope_parameters: nested })).toMatch(/rope_parameters .*allowed: rope_type "default"/);
    expect(await tried({ rope_scaling: { factor: 8 } })).toMatch(/rope_scaling .*allowed: null/);
    expect(await tried({ attn_logit_softcapping: 30 })).toMatch(/attn_logit_softcapping 30; allowed: none/);
    expect(await tried({ layer_types: ["sliding_attention"] })).toMatch(/layer_types/);
    for (const huge of [1e308, 1e-320, Infinity]) {
      expect(await tried({ rms_norm_eps: huge })).toMatch(/rms_norm_eps .*allowed: a number above 0/);
      expect(await tried({ rope_theta: huge })).toMatch(/rope_theta .*allowed: a number above 0/);
    }
    const begun = performance.now();
    for (const field of "vocab_size num_hidden_layers n_routed_experts hidden_size kv_lora_rank intermediate_size".split(
      " ",
    ))
      for (const huge of [2 ** 40, 1e9, 2 ** 31 - 1])
        expect(await tried({ [field]: huge }), field).not.toBe("no error");
    expect(performance.now() - begun).toBeLessThan(5000);
    // A layer that predicts further tokens is left out, and said so.
    rewrite(folder, (all) => {
      all.set("model.layers.3.eh_proj.weight", { shape: [2], data: Float32Array.of(1, 2) });
      all.set("model.layers.3.input_layernorm.weight", { shape: [2], data: Float32Array.of(1, 2) });
    });
    expect(await tried({ num_nextn_predict_layers: 0 })).toMatch(/has a tensor model\.layers\.3/);
    changeConfig(folder, { num_nextn_predict_layers: 1, odd_field: 3 });
    const { notes } = await importHuggingFace(runtime, folder, at("missing-made"), { existing: "overwrite" });
    expect(notes.join()).toMatch(/odd_field/);
    expect(notes.join()).toMatch(/2 tensors were left out, such as model\.layers\.3\.eh_proj/);
    fs.writeFileSync(path.join(folder, "model.safetensors"), tensors);
  });

  test("makes a run without a tokenizer where it cannot be used, and names tokens that stand for nothing", async () => {
    const { folder } = exported("grouped queries", "words");
    const padded = path.join(folder, "tokenizer.json");
    writeTokenizer(padded, new Tokenizer({ ...tokenizer.definition, added: [] }));
    const { notes, noTokenizer } = await importHuggingFace(runtime, folder, at("padded"));
    expect([noTokenizer, notes]).toEqual([
      undefined,
      ["Its tokenizer has 269 tokens and the model 270: the others are named <|unused_269|> and so on."],
    ]);
    const model: { type: string } = { type: "Unigram" };
    fs.writeFileSync(padded, JSON.stringify({ model }));
    const none = await importHuggingFace(runtime, folder, at("unigram"));
    expect(none.noTokenizer).toContain('its model is "Unigram", not BPE');
    expect(fs.existsSync(at("unigram", "tokenizer.json"))).toBe(false);
    // It can be exported, and given streams, all the same; what a reader would take for a default is denied.
    const without = exportHuggingFace(at("unigram"), at("unigram-hf"));
    expect(without.files).toEqual(["model.safetensors", "config.json"]);
    expect(configOf(without.folder)).toMatchObject({ bos_token_id: null, eos_token_id: null });
    await upcycle(runtime, at("unigram"), at("unigram-mhc"), upcycledConnections.mhc(2));
    expect(fs.existsSync(at("unigram-mhc", "checkpoints"))).toBe(true);
  });

  test("the tokens that begin and end a text, and what stands before it, come through a run", async () => {
    const { folder } = exported("grouped queries", "roles");
    expect(configOf(folder)).toMatchObject({ bos_token_id: null, eos_token_id: tokenizer.endOfText });
    const file = path.join(folder, "tokenizer.json");
    const json = JSON.parse(fs.readFileSync(file, "utf8")) as {
      model: { vocab: Record<string, number> };
      added_tokens: { id: number; content: string; special: boolean }[];
      post_processor: object;
    };
    // The last merge gives its number to the token that begins a text; the end has a name of its own.
    const [end] = json.added_tokens;
    const begin = { ...end!, id: end!.id - 1, content: "<s>" };
    delete json.model.vocab[Object.entries(json.model.vocab).find(([, id]) => id === begin.id)![0]];
    delete json.model.vocab[end!.content];
    Object.assign(json.model.vocab, { "<s>": begin.id, "</s>": end!.id });
    (json.model as unknown as { merges: string[] }).merges.pop();
    json.added_tokens = [begin, { ...end!, content: "</s>" }];
    const first = { SpecialToken: { id: "<s>", type_id: 0 } };
    const text = { Sequence: { id: "A", type_id: 0 } };
    json.post_processor = {
      type: "TemplateProcessing",
      single: [first, text],
      pair: [first, text, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [begin.id], tokens: ["<s>"] } },
    };
    fs.writeFileSync(file, JSON.stringify(json));
    fs.writeFileSync(path.join(folder, "tokenizer_config.json"), JSON.stringify({ eos_token: { content: "</s>" } }));
    changeConfig(folder, { bos_token_id: begin.id, eos_token_id: 65 });

    await importHuggingFace(runtime, folder, at("roles-again"));
    const kept = readTokenizer(at("roles-again", "tokenizer.json"));
    expect([kept.before, kept.begin, kept.endOfText]).toEqual([[begin.id], begin.id, end!.id]);
    await upcycle(runtime, at("roles-again"), at("roles-mhc"), upcycledConnections.mhc(2));
    expect(readTokenizer(at("roles-mhc", "tokenizer.json")).endOfText).toBe(end!.id);
    const { folder: again } = exportHuggingFace(at("roles-again"), at("roles-out"));
    expect(configOf(again)).toMatchObject({ bos_token_id: begin.id, eos_token_id: end!.id });
    const roles: unknown = JSON.parse(fs.readFileSync(path.join(again, "tokenizer_config.json"), "utf8"));
    expect(roles).toMatchObject({ bos_token: "<s>", eos_token: "</s>" });
    const written = JSON.parse(fs.readFileSync(path.join(again, "tokenizer.json"), "utf8")) as typeof json;
    expect(written.post_processor).toEqual(json.post_processor);
    expect(written.model.vocab).toMatchObject({ "<s>": begin.id, "</s>": end!.id });
  });
});

const configOf = (folder: string): unknown => JSON.parse(fs.readFileSync(path.join(folder, "config.json"), "utf8"));

function rewrite(
  folder: string,
  change: (tensors: Map<string, { shape: readonly number[]; data: Float32Array | Int32Array }>) => void,
): void {
  const file = path.join(folder, "model.safetensors");
  const tensors = new Map(readSafetensors(file).tensors);
  change(tensors);
  const named = [...tensors].map(([name, { shape, data }]) => ({ name, shape, data }));
  fs.writeFileSync(file, Buffer.concat(encodeSafetensors(named)));
}

async function errorOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    return (error as Error).message;
  }
  return "no error";
}

/** A number as a half, what does not fit cut off; for numbers below 1, of which those below 2^-14 become zero. */
function halfOf(value: number): number {
  const [bits] = new Uint32Array(Float32Array.of(value).buffer);
  const exponent = ((bits! >>> 23) & 255) - 127 + 15;
  return ((bits! >>> 16) & 0x8000) | (exponent <= 0 ? 0 : (exponent << 10) | ((bits! >>> 13) & 1023));
}
