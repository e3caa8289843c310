// Models and hardware from files: parameters of published models to the digit, the four kinds of model files, and what
// is refused with which words.

import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { defaultConnection } from "../../src/connections/table.ts";
import { createParameters, parameterCount } from "../../src/graph/parameters.ts";
import { modelSchema, presets } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { hardwareProfiles } from "../../src/planning/hardware.ts";
import { readHardware } from "../../src/planning/here/hardware-file.ts";
import { readPlannedModel } from "../../src/planning/here/model-file.ts";
import { countParameters } from "../../src/planning/parameters.ts";
import { plannedModel } from "../../src/planning/presets.ts";

const folder = mkdtempSync(path.join(tmpdir(), "plan-files-"));
let files = 0;
function write(value: unknown): string {
  const file = path.join(folder, `file-${files++}.json`);
  writeFileSync(file, typeof value === "string" ? value : JSON.stringify(value));
  return file;
}
const read = (value: unknown) => readPlannedModel(write(value));
function withoutConnection(value: unknown): number {
  const { total, parts } = countParameters(read(value).model);
  return total - parts.connection.total;
}

const llama = {
  model_type: "llama",
  hidden_size: 4096,
  intermediate_size: 11008,
  max_position_embeddings: 4096,
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 32,
  vocab_size: 32000,
};
const deepseek = {
  model_type: "deepseek_v3",
  vocab_size: 129280,
  hidden_size: 7168,
  intermediate_size: 18432,
  moe_intermediate_size: 2048,
  num_hidden_layers: 61,
  num_nextn_predict_layers: 1,
  num_attention_heads: 128,
  num_key_value_heads: 128,
  n_shared_experts: 1,
  n_routed_experts: 256,
  routed_scaling_factor: 2.5,
  kv_lora_rank: 512,
  q_lora_rank: 1536,
  qk_rope_head_dim: 64,
  v_head_dim: 128,
  qk_nope_head_dim: 128,
  topk_method: "noaux_tc",
  n_group: 8,
  topk_group: 4,
  num_experts_per_tok: 8,
  moe_layer_freq: 1,
  first_k_dense_replace: 3,
  max_position_embeddings: 163840,
  rope_scaling: { type: "yarn", factor: 40 },
  quantization_config: { quant_method: "fp8" },
};

describe("Hugging Face's config.json", () => {
  // As the transformers library counts them; DeepSeek-V3's 671B without 58 times 256 biases that balance its experts.
  test.each([
    ["Llama 2 7B", llama, 6_738_415_616],
    [
      "Llama 3.2 1B, whose output matrix is its embedding",
      {
        ...llama,
        hidden_size: 2048,
        intermediate_size: 8192,
        num_hidden_layers: 16,
        num_key_value_heads: 8,
        head_dim: 64,
        vocab_size: 128256,
        tie_word_embeddings: true,
        rope_scaling: { rope_type: "llama3", factor: 32 },
      },
      1_235_814_400,
    ],
    [
      "Mistral 7B",
      { ...llama, model_type: "mistral", intermediate_size: 14336, num_key_value_heads: 8 },
      7_241_732_096,
    ],
    [
      "Mistral Nemo, with heads wider than its width allows",
      {
        ...llama,
        model_type: "mistral",
        hidden_size: 5120,
        intermediate_size: 14336,
        num_hidden_layers: 40,
        num_key_value_heads: 8,
        head_dim: 128,
        vocab_size: 131072,
      },
      12_247_782_400,
    ],
    [
      "Mixtral 8x7B",
      {
        ...llama,
        model_type: "mixtral",
        intermediate_size: 14336,
        num_key_value_heads: 8,
        num_local_experts: 8,
        num_experts_per_tok: 2,
      },
      46_702_792_704,
    ],
    ["DeepSeek-V3", deepseek, 671_026_419_200 - 58 * 256],
  ])("%s", (_name, config, parameters) => {
    expect(withoutConnection(config)).toBe(parameters);
  });

  test("notes say what is planned otherwise", () => {
    expect(read(deepseek).notes).toEqual([
      "The file allows 163840 tokens of a sequence; 4096 are planned (--context for another length).",
      "Layers that predict further tokens are not counted: 1.",
    ]);
    const { intermediate_size: _size, ...short } = { ...llama, model_type: "mistral", sliding_window: 1024 };
    const { model, notes } = read(short);
    expect(model).toMatchObject({ feedForward: { kind: "dense", hidden: 14336 } });
    expect(notes.join(" ")).toMatch(/does not say intermediate_size \(14336\).*not over a window of 1024/);
  });

  test("a null is what the file says, and not a missing field", () => {
    expect(read({ ...deepseek, q_lora_rank: null }).model).toMatchObject({ attention: { kind: "latent", rank: 512 } });
    expect(read({ ...deepseek, q_lora_rank: null }).model).not.toHaveProperty("attention.queryRank");
    expect(
      read({ ...llama, model_type: "qwen2", num_attention_heads: 16, num_key_value_heads: null }).model,
    ).toMatchObject({
      attention: { kind: "grouped", heads: 16, kvHeads: 16 },
    });
  });

  test("this library's own has its streams", () => {
    const own = { ...llama, model_type: "birkhoff_mhc", backbone: "llama", hc_mult: 8, hc_sinkhorn_iters: 5 };
    expect(read(own).model.connection).toEqual({ streams: 8, iterations: 5 });
  });

  test.each([
    [{ ...llama, model_type: "gpt2" }, /model_type "gpt2"; it must be llama, mistral, .*a file of your own/],
    [{ ...llama, hidden_size: 0 }, /hidden_size 0; it must be a whole number of at least 1/],
    [{ ...llama, num_key_value_heads: 5 }, /num_attention_heads 32 and num_key_value_heads 5; .*must divide/],
    [{ ...llama, hidden_size: 4100 }, /hidden_size 4100 and num_attention_heads 32; .*head_dim is not given/],
    [{ ...llama, num_hidden_layers: undefined, num_hiden_layers: 32 }, /Did you mean "num_hidden_layers"/],
  ])("refused: %#", (config, message) => {
    expect(() => read(config)).toThrow(message);
  });
});

describe("our own files", () => {
  test("a model by its sizes is the preset of these sizes; it may stand in `model`", () => {
    const { kvHeads: _same, ...nano } = presets.nano;
    const expected = { ...plannedModel("nano"), name: expect.any(String) };
    expect(read({ ...nano, vocabulary: 1024 }).model).toEqual(expected);
    expect(read({ model: { ...nano, vocabulary: 1024 } }).model).toEqual(expected);
  });

  test("a run's configuration brings its batch, its steps and its streams", () => {
    const run = fileURLToPath(new URL("../fixtures/runs-0.1/manifold", import.meta.url));
    const { model, notes } = readPlannedModel(run);
    expect(notes).toEqual([]);
    expect(model).toMatchObject({ name: "manifold", width: 8, training: { batch: 2, steps: 8, context: 8 } });
    const hyper = readPlannedModel(run.replace(/manifold$/, "hyper"));
    expect(hyper.notes.join()).toMatch(/compares mHC in all sublayers.*own connection is hc/);
  });

  test("latents of queries and values of another size are counted as the model has them", () => {
    const size = {
      ...presets["moe-nano"],
      attention: { kind: "mla", rank: 64, queryRank: 48, rotarySize: 16, contentSize: 32, valueSize: 24 },
      hidden: 200,
      vocabulary: 512,
    };
    const parameters = createParameters();
    languageModel(modelSchema.parse({ ...size, connection: defaultConnection("residual") }), parameters);
    expect(withoutConnection(size)).toBe(parameterCount(parameters));
  });

  test("the planner's own form, with totals alone too", () => {
    const { model } = read({ ...plannedModel("deepseek-v4-pro"), name: "ours" });
    expect(model).toEqual({ ...plannedModel("deepseek-v4-pro"), name: "ours" });
    expect(() => read({ ...plannedModel("paper-3b"), layer: 3 })).toThrow(
      /no field layer here.*Did you mean "layers"/s,
    );
  });

  test.each([
    ["[1]", /holds no JSON object/],
    ["{", /it is not JSON/],
    [{ ...presets.nano, vocabulary: 1024, widht: 3 }, /no field widht here.*Did you mean "width"/s],
    [{ ...presets.nano, vocabulary: 1024, layers: 0 }, /layers: 0 is given; it must be at least 1/],
  ])("refused: %#", (value, message) => {
    expect(() => read(value)).toThrow(message);
  });
  test("a file that is not there is named", () => {
    expect(() => readPlannedModel(path.join(folder, "none.json"))).toThrow(/cannot read .*none\.json: there is no/);
  });
});

describe("hardware", () => {
  test("what the file leaves out is that of the profile it is like", () => {
    const file = write({ like: "h100", network: 25e9, gpusPerMachine: 4, price: 2, peak: { bf16: 500e12 } });
    expect(readHardware(file)).toEqual({
      hardware: {
        ...hardwareProfiles.h100,
        name: path.basename(file, ".json"),
        network: 25e9,
        gpusPerMachine: 4,
        peak: { ...hardwareProfiles.h100.peak, bf16: 500e12 },
      },
      price: 2,
    });
  });

  test("without one it needs all of its own", () => {
    const own = { name: "ours", peak: { bf16: 1e15, tf32: 5e14, fp32: 5e13 }, bandwidth: 3e12, memoryBytes: 96e9 };
    expect(readHardware(write(own))).toEqual({ hardware: own });
    const { bandwidth: _none, ...short } = own;
    expect(() => readHardware(write(short))).toThrow(/bandwidth: nothing is given; it must be a number/);
  });

  test.each([
    [{ like: "h10" }, /like: "h10" is given; it must be "h100".*Did you mean "h100"/],
    [{ like: "h100", bandwith: 1 }, /no field bandwith here.*Did you mean "bandwidth"/],
    [{ lik: "h100" }, /no field lik here.*Did you mean "like"/s],
    [{ like: "h100", network: -1 }, /network: -1 is given; it must be above 0/],
    [{ like: "h100", gpusPerMachine: 2.5 }, /gpusPerMachine: 2.5 is given; it must be a whole number/],
  ])("refused: %#", (value, message) => {
    expect(() => readHardware(write(value))).toThrow(message);
  });

  test("the example of the documentation is read", () => {
    const file = fileURLToPath(new URL("../../docs/planning/cluster.json", import.meta.url));
    expect(readHardware(file)).toMatchObject({ hardware: { bandwidth: 3.35e12, network: 25e9 }, price: 2.5 });
  });
});
