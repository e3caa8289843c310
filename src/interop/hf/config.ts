// Question: how does Hugging Face's config.json describe a model, and which of these models can this library read?
//
//   residual, plain attention                    model_type llama
//   residual, latent attention (and experts)     model_type deepseek_v3
//   mHC                                          model_type birkhoff_mhc, the blocks' names in `backbone`
//   HC                                           model_type birkhoff_hc
//
// The transformers library does not know the last two, on purpose: a loader that knew only the backbone would drop
// the connection silently. A model with a feature that this library lacks is refused; the error names the field,
// its value and what is allowed.

import { isObject } from "../../basics/objects.ts";
import { mhcConventions } from "../../connections/conventions/table.ts";
import type { ConnectionConfig } from "../../connections/table.ts";
import { type ModelConfig, modelSchema } from "../../model/config.ts";
import { isMixed } from "../../model/overrides.ts";

/** A config.json, read or to be written. */
export type HuggingFaceConfig = Readonly<Record<string, unknown>>;

const classes = { llama: "LlamaForCausalLM", deepseek_v3: "DeepseekV3ForCausalLM" } as const;
type Backbone = keyof typeof classes;

/**
 * Replaces the paper's "no epsilon": too small to change any sum in float32, but large enough to keep a division
 * from zero.
 */
const NONE = 1e-20;

/**
 * A model as a config.json.
 *
 * @throws Error with the reason for a model that no such file can describe
 */
export function huggingFaceConfig(model: ModelConfig): Record<string, unknown> {
  const { attention: latent, connection } = model;
  if (isMixed(connection)) throw notExpressible("its sublayers have different connections");
  if (model.valueResidual) throw notExpressible("it has valueResidual, which neither llama nor deepseek_v3 has");
  if (model.feedForward && !latent) {
    throw notExpressible(
      "it has plain attention and a mixture of experts: llama has no experts, deepseek_v3 has latent attention",
    );
  }
  const backbone: Backbone = latent ? "deepseek_v3" : "llama";
  return {
    ...connectionFields(connection, backbone),
    vocab_size: model.vocabulary,
    max_position_embeddings: model.context,
    hidden_size: model.width,
    intermediate_size: model.hidden,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    num_key_value_heads: model.kvHeads,
    ...(latent ? latentFields(model) : { head_dim: model.width / model.heads, mlp_bias: false }),
    hidden_act: "silu",
    attention_bias: false,
    rms_norm_eps: model.normEpsilon,
    rope_theta: model.ropeTheta,
    rope_scaling: null,
    tie_word_embeddings: false,
    torch_dtype: "float32",
  };
}

/** Fields that must be written as fractions, because Hugging Face's reader refuses the integer 1 for 1.0. */
const fractions = /("(?:rms_norm_eps|rope_theta|routed_scaling_factor|hc_eps|hc_norm_eps)": -?\d+)(?=,?\n)/g;

/** The text of a config.json. */
export function formatHuggingFaceConfig(config: HuggingFaceConfig): string {
  return `${JSON.stringify(config, undefined, 2)}\n`.replace(fractions, "$1.0");
}

const notExpressible = (why: string): Error =>
  new Error(`this model cannot be written for Hugging Face: ${why}. Its checkpoints are safetensors files in any case`);

function latentFields({ attention, feedForward, layers }: ModelConfig): Record<string, unknown> {
  const { rank, queryRank = null, rotarySize, contentSize, valueSize } = attention!;
  // Where all layers are dense, the experts' fields say that there are none.
  const none = { experts: 1, active: 1, shared: 0, hidden: 1, denseLayers: layers, normalise: true, scale: 1 };
  const { experts, active, shared, hidden, denseLayers, normalise, scale } = feedForward ?? none;
  return {
    kv_lora_rank: rank,
    q_lora_rank: queryRank,
    qk_rope_head_dim: rotarySize,
    qk_nope_head_dim: contentSize,
    v_head_dim: valueSize,
    rope_interleave: true,
    first_k_dense_replace: Math.min(denseLayers, layers),
    moe_layer_freq: 1,
    n_routed_experts: experts,
    num_experts_per_tok: active,
    n_shared_experts: shared,
    moe_intermediate_size: hidden,
    scoring_func: "sigmoid",
    topk_method: "noaux_tc",
    norm_topk_prob: normalise ?? active > 1,
    routed_scaling_factor: scale ?? 1,
    n_group: 1,
    topk_group: 1,
    num_nextn_predict_layers: 0,
  };
}

/** The model type and what joins its layers; hc_mult, hc_sinkhorn_iters and hc_eps are deepseek_v4's. */
function connectionFields(connection: ConnectionConfig, backbone: Backbone): Record<string, unknown> {
  if (connection.kind === "residual") return { model_type: backbone, architectures: [classes[backbone]] };
  if (connection.kind === "hc") {
    const { streams, collapse, dynamic = true, tanh = true, streamPrecision = "float32" } = connection;
    return {
      model_type: "birkhoff_hc",
      architectures: ["BirkhoffHcForCausalLM"],
      backbone,
      hc_mult: streams,
      hc_dynamic: dynamic,
      hc_tanh: tanh,
      hc_norm_eps: NONE,
      hc_collapse: collapse,
      hc_stream_dtype: streamPrecision,
    };
  }
  if (connection.kind !== "mhc") {
    throw notExpressible(`its connection is ${connection.kind}; only residual, hc and mhc have names there`);
  }
  const { streams, iterations, convention = "paper", collapse, residualMap = "sinkhorn" } = connection;
  if (convention !== "paper" && convention !== "deepseek-v4") {
    throw notExpressible(
      `its convention is ${convention}; deepseek_v4's names are for what paper and deepseek-v4 compute (docs/conventions.md)`,
    );
  }
  if (residualMap !== "sinkhorn" && residualMap !== "sinkhorn-implicit") {
    throw notExpressible(`its residual map is ${residualMap}, and deepseek_v4's names are for Sinkhorn-Knopp`);
  }
  const { norm, form } = mhcConventions[convention];
  return {
    model_type: "birkhoff_mhc",
    architectures: ["BirkhoffMhcForCausalLM"],
    backbone,
    hc_mult: streams,
    hc_sinkhorn_iters: iterations,
    hc_eps: form.readEpsilon || NONE,
    hc_norm_eps: norm.epsilon,
    hc_collapse: convention === "paper" ? (collapse ?? "mean") : "learned",
    hc_stream_dtype: connection.streamPrecision ?? "float32",
  };
}

/** A field of a config.json of which this library supports only some values. */
interface Limit {
  readonly field: string;
  readonly allows: (value: unknown, config: HuggingFaceConfig) => boolean;
  readonly allowed: string;
}

const isIn =
  (...values: readonly unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);

const isPlainRotary = (value: unknown): boolean =>
  value === null ||
  (isObject(value) && [undefined, "default"].includes((value["rope_type"] ?? value["type"]) as string));

/** An absent field has the default of Llama and DeepSeek-V3, which is allowed; for n_group see readLatent. */
const limits: readonly Limit[] = [
  { field: "attention_bias", allows: isIn(false), allowed: "false: attention here has no biases" },
  { field: "mlp_bias", allows: isIn(false), allowed: "false: the feed-forward here has no biases" },
  { field: "hidden_act", allows: isIn("silu", "swish"), allowed: '"silu": the feed-forward here is SwiGLU' },
  { field: "rope_scaling", allows: isPlainRotary, allowed: "null: rotary angles here are not rescaled" },
  {
    field: "rope_parameters",
    allows: isPlainRotary,
    allowed: 'rope_type "default": rotary angles here are not rescaled',
  },
  { field: "partial_rotary_factor", allows: isIn(1), allowed: "1: whole heads turn here" },
  {
    field: "sliding_window",
    allows: (value, config) => value === null || config["use_sliding_window"] === false,
    allowed: "null: attention here sees all tokens of the window",
  },
  {
    field: "head_dim",
    allows: (value, config) =>
      value === null ||
      backboneOf(config) === "deepseek_v3" ||
      Number(value) * Number(config["num_attention_heads"]) === config["hidden_size"],
    allowed: "hidden_size / num_attention_heads",
  },
  { field: "scoring_func", allows: isIn("sigmoid"), allowed: '"sigmoid"' },
  { field: "topk_method", allows: isIn("noaux_tc"), allowed: '"noaux_tc"' },
  { field: "norm_topk_prob", allows: isIn(true, false), allowed: "true or false" },
  { field: "n_group", allows: isIn(1, null), allowed: "1: experts are not chosen by groups here" },
  { field: "moe_layer_freq", allows: isIn(1), allowed: "1" },
  {
    field: "num_nextn_predict_layers",
    allows: isIn(0),
    allowed: "0: layers that predict several tokens are not known here",
  },
  { field: "quantization_config", allows: isIn(null), allowed: "none: the tensors must be F32, F16 or BF16" },
];

/** Model types by the names of their blocks' tensors; Mistral without its window is Llama. */
const backbones: Readonly<Record<string, Backbone>> = { llama: "llama", mistral: "llama", deepseek_v3: "deepseek_v3" };
/** Models with streams: this library's model types; older versions wrote the last two. */
const streamTypes: Readonly<Record<string, "mhc" | "hc">> = {
  birkhoff_mhc: "mhc",
  birkhoff_hc: "hc",
  birkhoff_manifold: "mhc",
  birkhoff_hyper: "hc",
};

function backboneOf(config: HuggingFaceConfig): Backbone | undefined {
  const type = String(config["model_type"]);
  return backbones[Object.hasOwn(streamTypes, type) ? String(config["backbone"]) : type];
}

/** What a config.json says beyond the model. */
export interface ReadConfig {
  readonly model: ModelConfig;
  /** Whether the output matrix is the embedding. */
  readonly tied: boolean;
  /** Whether the rotated columns of a head of MLA lie in pairs. */
  readonly interleaved: boolean;
}

/**
 * The model that a config.json describes.
 *
 * @param context tokens of a sequence; at most max_position_embeddings, which is the default
 * @param name what to call the file in messages
 * @throws Error with the field, its value and what is allowed
 */
export function readHuggingFaceConfig(value: unknown, name: string, context?: number): ReadConfig {
  const config = isObject(value) ? value : fail(name, "is not a JSON object");
  if (isObject(config["config"]))
    fail(name, "is that of a run already: birkhoff export makes a folder to import of it");
  const type = backboneOf(config);
  if (type === undefined) {
    const allowed = [...Object.keys(backbones), ...Object.keys(streamTypes)].join(", ");
    const backbone = Object.hasOwn(streamTypes, String(config["model_type"]))
      ? ` with backbone ${show(config["backbone"])}`
      : "";
    return fail(name, `has model_type ${show(config["model_type"])}${backbone}; allowed: ${allowed}`);
  }
  for (const { field, allows, allowed } of limits) {
    const given = config[field];
    if (given !== undefined && !allows(given, config)) fail(name, `has ${field} ${show(given)}; allowed: ${allowed}`);
  }
  const count = (field: string, otherwise?: number): number => {
    const stored = config[field] ?? otherwise;
    if (typeof stored === "number" && Number.isInteger(stored) && stored > 0) return stored;
    return fail(name, `has ${field} ${show(stored)}; allowed: a whole number of at least 1`);
  };
  const positive = (field: string, stored: unknown): number =>
    typeof stored === "number" && stored > 0
      ? stored
      : fail(name, `has ${field} ${show(stored)}; allowed: a number above 0`);

  const longest = count("max_position_embeddings", 2048);
  if (context !== undefined && context > longest) {
    fail(name, `has max_position_embeddings ${longest}; a context of ${context} is longer than it was made for`);
  }
  const heads = count("num_attention_heads");
  const model = {
    vocabulary: count("vocab_size"),
    context: context ?? longest,
    width: count("hidden_size"),
    layers: count("num_hidden_layers"),
    heads,
    kvHeads: type === "deepseek_v3" ? heads : count("num_key_value_heads", heads),
    hidden: count("intermediate_size"),
    ropeTheta: positive("rope_theta", rotaryBase(config)),
    normEpsilon: positive("rms_norm_eps", config["rms_norm_eps"] ?? 1e-6),
    connection: readConnection(config, name),
    ...(type === "deepseek_v3" ? readLatent(config, count) : {}),
  };
  const parsed = modelSchema.safeParse(model);
  if (!parsed.success) {
    return fail(name, parsed.error.issues.map(({ path, message }) => [...path, message].join(": ")).join("; "));
  }
  return {
    model: parsed.data,
    tied: config["tie_word_embeddings"] === true,
    interleaved: config["rope_interleave"] !== false,
  };
}

function fail(name: string, why: string): never {
  throw new Error(`${name} ${why}`);
}

const show = (value: unknown): string => JSON.stringify(value) ?? "missing";

/** Newer files have it among the rope_parameters. */
function rotaryBase(config: HuggingFaceConfig): unknown {
  const parameters = config["rope_parameters"];
  return config["rope_theta"] ?? (isObject(parameters) ? parameters["rope_theta"] : undefined) ?? 10000;
}

function readLatent(config: HuggingFaceConfig, count: (field: string) => number): Partial<ModelConfig> {
  const attention = {
    kind: "mla" as const,
    rank: count("kv_lora_rank"),
    ...(typeof config["q_lora_rank"] === "number" ? { queryRank: count("q_lora_rank") } : {}),
    rotarySize: count("qk_rope_head_dim"),
    contentSize: count("qk_nope_head_dim"),
    valueSize: count("v_head_dim"),
  };
  const denseLayers = Number(config["first_k_dense_replace"] ?? 0);
  if (denseLayers >= count("num_hidden_layers")) return { attention };
  // Absent, DeepSeek-V3 has eight groups and a factor of 2.5.
  if (config["n_group"] === undefined)
    throw new Error(
      "config.json n_group is missing, which means 8 groups of experts in DeepSeek-V3; allowed: 1 (write it there if the model has no groups)",
    );
  const scale = Number(config["routed_scaling_factor"] ?? 2.5);
  const active = count("num_experts_per_tok");
  const normalise = config["norm_topk_prob"] !== false;
  return {
    attention,
    feedForward: {
      kind: "moe",
      experts: count("n_routed_experts"),
      active,
      shared: Number(config["n_shared_experts"] ?? 0),
      hidden: count("moe_intermediate_size"),
      denseLayers,
      balanceRate: 1e-3,
      ...(scale === 1 ? {} : { scale }),
      ...(normalise === active > 1 ? {} : { normalise }),
    },
  };
}

function readConnection(config: HuggingFaceConfig, name: string): unknown {
  const { hc_mult: streams, hc_collapse: collapse, hc_stream_dtype: dtype } = config;
  const common = { streams, collapse, ...(dtype === "bfloat16" ? { streamPrecision: dtype } : {}) };
  const kind = streamTypes[String(config["model_type"])];
  if (kind === undefined) return { kind: "residual" };
  if (kind === "hc") {
    const { hc_dynamic: dynamic, hc_tanh: tanh } = config;
    return { kind, ...common, ...(dynamic === false ? { dynamic } : {}), ...(tanh === false ? { tanh } : {}) };
  }
  const { hc_eps: epsilon, hc_norm_eps: norm, hc_sinkhorn_iters: iterations } = config;
  const form = conventionsByEpsilons.find((each) => each.epsilon === epsilon && each.norm === norm);
  if (!form) {
    const allowed = conventionsByEpsilons.map((each) => `${each.epsilon} and ${each.norm} (${each.convention})`);
    return fail(name, `has hc_eps ${show(epsilon)} and hc_norm_eps ${show(norm)}; allowed: ${allowed.join(", ")}`);
  }
  const { convention } = form;
  return { kind, ...common, iterations, ...(convention === "paper" ? {} : { convention }) };
}

const conventionsByEpsilons = (["paper", "deepseek-v4"] as const).map((convention) => {
  const { norm, form } = mhcConventions[convention];
  return { convention, epsilon: form.readEpsilon || NONE, norm: norm.epsilon };
});
