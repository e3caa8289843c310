// Question: what does each field of a config.json mean, what does it mean where it is missing, and which values can be read?
//
// One table for each model type. The defaults are those of the configuration classes of the transformers library
// (LlamaConfig, MistralConfig, DeepseekV3Config; 5.18), because a file that leaves a field out was written with them in
// mind. A field that is in no table is ignored by that library as well. Those that would still change what a model
// computes, in its relatives or in another version, are refused; the rest is passed over.

import { isObject } from "../../basics/objects.ts";

/** A config.json, read or to be written. */
export type HuggingFaceConfig = Readonly<Record<string, unknown>>;

/** The model types whose blocks this library has. */
export type BlockType = "llama" | "mistral" | "deepseek_v3";

/** What one field of one model type means. */
export interface Field {
  readonly meaning: string;
  /** Its value where the file has none, as transformers has it. */
  readonly absent: unknown;
  /** The values that can be read, in words. */
  readonly allowed: string;
  allows(value: unknown, config: ConfigValues): boolean;
}

/** The values of a file, those that it leaves out included. */
export type ConfigValues = (field: string) => unknown;

/** A context that an import without --context does not exceed. */
export const LONGEST = 1024;

const isIn =
  (...values: readonly unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value);

const isWhole = (value: unknown, least: number): boolean =>
  typeof value === "number" && Number.isInteger(value) && value >= least && value < 2 ** 31;
const isNumber = (value: unknown, most: number): boolean =>
  typeof value === "number" && Math.fround(value) > 0 && value <= most;

const count = (meaning: string, absent: number): Field => ({
  meaning,
  absent,
  allowed: "a whole number of at least 1",
  allows: (value) => isWhole(value, 1),
});
const countOrNone = (meaning: string, absent: number | null): Field => ({
  meaning,
  absent,
  allowed: "a whole number of at least 1, or null",
  allows: (value) => value === null || isWhole(value, 1),
});
const number = (meaning: string, absent: number, most: number): Field => ({
  meaning,
  absent,
  allowed: `a number above 0 and at most ${most}`,
  allows: (value) => isNumber(value, most),
});
const only = (meaning: string, absent: unknown, allowed: string, ...values: readonly unknown[]): Field => ({
  meaning,
  absent,
  allowed,
  allows: isIn(...values),
});
const yesOrNo = (meaning: string, absent: boolean): Field => only(meaning, absent, "true or false", true, false);

const activation = only("what bends the gate", "silu", '"silu": the feed-forward here is SwiGLU', "silu", "swish");
const noBias = (what: string): Field => only(`biases of ${what}`, false, `false: ${what} here has no biases`, false);

/** The largest base of rotary angles and the largest factor that stay clear of the ends of float32. */
const LARGE = 1e30;

const isPlainRotary = (value: unknown): boolean =>
  value === null ||
  (isObject(value) &&
    Object.entries(value).every(([key, entry]) => {
      if (key === "rope_type" || key === "type") return entry === "default";
      if (key === "rope_theta") return isNumber(entry, LARGE);
      return key === "partial_rotary_factor" ? entry === null || entry === 1 : entry === null;
    }));

const rotary: Readonly<Record<string, Field>> = {
  rope_theta: number("base of the rotary angles", 10000, LARGE),
  rope_scaling: {
    meaning: "how rotary angles are rescaled, in files of transformers 4",
    absent: null,
    allowed: 'null, or rope_type "default" and nothing else: rotary angles here are not rescaled',
    allows: isPlainRotary,
  },
  rope_parameters: {
    meaning: "base and rescaling of the rotary angles, in files of transformers 5",
    absent: null,
    allowed: 'rope_type "default" and rope_theta for all layers: rotary angles here are not rescaled',
    allows: isPlainRotary,
  },
};

/** A window has no effect on a context that it covers. */
const coversContext = (window: unknown, config: ConfigValues): boolean =>
  window === null ||
  config("use_sliding_window") === false ||
  (isWhole(window, 1) &&
    Number(window) >= Math.min(Number(config("asked_context") ?? LONGEST), Number(config("max_position_embeddings"))));

const window = (absent: number | null): Field => ({
  meaning: "how many tokens a token attends to",
  absent,
  allowed: "null, or no less than the context: attention here sees all tokens",
  allows: coversContext,
});

const plainHead: Field = {
  meaning: "columns of a head",
  absent: null,
  allowed: "hidden_size / num_attention_heads",
  allows: (value, config) =>
    value === null || Number(value) * Number(config("num_attention_heads")) === config("hidden_size"),
};

const shared = {
  hidden_act: activation,
  rms_norm_eps: number("added to the mean square in every norm", 1e-6, 1),
  tie_word_embeddings: yesOrNo("whether the output matrix is the embedding", false),
  ...rotary,
} as const;

const llama: Readonly<Record<string, Field>> = {
  vocab_size: count("tokens of the vocabulary", 32000),
  hidden_size: count("channels", 4096),
  intermediate_size: count("inner width of the feed-forward", 11008),
  num_hidden_layers: count("blocks", 32),
  num_attention_heads: count("heads", 32),
  num_key_value_heads: countOrNone("key-value heads; null: as many as heads", null),
  max_position_embeddings: count("tokens of the longest sequence", 2048),
  head_dim: plainHead,
  attention_bias: noBias("attention"),
  mlp_bias: noBias("the feed-forward"),
  ...shared,
  sliding_window: window(null),
};

const mistral: Readonly<Record<string, Field>> = {
  ...llama,
  intermediate_size: count("inner width of the feed-forward", 14336),
  num_key_value_heads: countOrNone("key-value heads; null: as many as heads", 8),
  max_position_embeddings: count("tokens of the longest sequence", 4096 * 32),
  sliding_window: window(4096),
};

/** Where every layer is dense, the fields of the experts mean nothing. */
const hasExperts = (config: ConfigValues): boolean =>
  Number(config("first_k_dense_replace")) < Number(config("num_hidden_layers"));

/** The same rule, for models that have experts. */
const ofExperts = (field: Field): Field => ({
  ...field,
  allows: (value, config) => !hasExperts(config) || field.allows(value, config),
});

const deepseek: Readonly<Record<string, Field>> = {
  vocab_size: count("tokens of the vocabulary", 129280),
  hidden_size: count("channels", 7168),
  intermediate_size: count("inner width of a dense feed-forward", 18432),
  num_hidden_layers: count("blocks", 61),
  num_attention_heads: count("heads", 128),
  num_key_value_heads: {
    meaning: "key-value heads, which latent attention has as many of as heads (128 there, as its heads)",
    absent: null,
    allowed: "num_attention_heads",
    allows: (value, config) => value === null || value === config("num_attention_heads"),
  },
  max_position_embeddings: count("tokens of the longest sequence", 4096),
  kv_lora_rank: count("rank of the latents", 512),
  q_lora_rank: countOrNone("rank of the queries; null: they have none", 1536),
  qk_rope_head_dim: count("columns of a head that turn", 64),
  qk_nope_head_dim: count("columns of a head that do not turn", 128),
  v_head_dim: count("columns of a head's values", 128),
  rope_interleave: yesOrNo("whether the columns that turn together lie side by side", true),
  attention_bias: noBias("attention"),
  first_k_dense_replace: {
    meaning: "layers at the beginning without experts",
    absent: 3,
    allowed: "a whole number of at least 0",
    allows: (value) => isWhole(value, 0),
  },
  moe_layer_freq: ofExperts(only("every how manieth layer has experts", 1, "1", 1)),
  n_routed_experts: ofExperts(count("experts that are chosen from", 256)),
  n_shared_experts: ofExperts({
    meaning: "experts that every token uses",
    absent: 1,
    allowed: "a whole number of at least 0, or null for none",
    allows: (value) => value === null || isWhole(value, 0),
  }),
  num_experts_per_tok: ofExperts(count("experts that are chosen for a token", 8)),
  moe_intermediate_size: ofExperts(count("inner width of an expert", 2048)),
  n_group: ofExperts({
    meaning: "groups of experts, of which topk_group are looked at",
    absent: 8,
    allowed: "1, or as many as topk_group: experts are not chosen by groups here",
    allows: (value, config) => value === 1 || value === null || (isWhole(value, 1) && value === config("topk_group")),
  }),
  topk_group: ofExperts(countOrNone("groups of experts that are looked at", 4)),
  scoring_func: ofExperts(only("how experts are scored", "sigmoid", '"sigmoid"', "sigmoid")),
  topk_method: ofExperts(only("how experts are chosen", "noaux_tc", '"noaux_tc"', "noaux_tc")),
  norm_topk_prob: ofExperts(yesOrNo("whether the weights of a token's experts are normalised", true)),
  routed_scaling_factor: ofExperts(number("factor of what the chosen experts give", 2.5, LARGE)),
  num_nextn_predict_layers: {
    meaning: "layers after the last that predict further tokens; the model itself is without them",
    absent: 1,
    allowed: "a whole number of at least 0",
    allows: (value) => isWhole(value, 0),
  },
  ...shared,
  sliding_window: window(null),
};

/** The fields that this library reads, by model type. */
export const fields: Readonly<Record<BlockType, Readonly<Record<string, Field>>>> = {
  llama,
  mistral,
  deepseek_v3: deepseek,
};

/** Other names of a field; transformers reads these as the field itself. */
export const otherNames: Readonly<Partial<Record<BlockType, Readonly<Record<string, string>>>>> = {
  deepseek_v3: { num_local_experts: "n_routed_experts", num_mtp_layers: "num_nextn_predict_layers" },
};

/** The fields of this library's own model types, whose connection has streams; no other program leaves them out. */
export const streamFields: Readonly<Record<string, Field>> = {
  hc_dynamic: yesOrNo("whether coefficients depend on the token", true),
  hc_tanh: yesOrNo("whether tanh bends the projections", true),
  hc_stream_dtype: only("how streams are stored", "float32", '"float32" or "bfloat16"', "float32", "bfloat16"),
};

/**
 * Fields of relatives of these models that change what is computed, and the values with which they change nothing.
 * null and a missing field never do.
 */
const foreign: Readonly<Record<string, readonly unknown[]>> = {
  ...Object.fromEntries(
    [
      "is_encoder_decoder add_cross_attention use_qk_norm qk_norm qk_layernorm use_alibi alibi parallel_attn",
      "use_parallel_residual parallel_residual use_bias bias qkv_bias attention_out_bias lm_head_bias add_bias_linear",
      "use_mla_qk_norm value_residual use_value_residual attention_value_residual zero_centered_gamma",
    ]
      .join(" ")
      .split(" ")
      .map((name) => [name, [false]]),
  ),
  ...Object.fromEntries(
    [
      "attn_logit_softcapping final_logit_softcapping logit_softcapping attention_chunk_size clip_qkv no_rope_layers",
      "no_rope_layer_interval query_pre_attn_scalar attention_multiplier rope_local_base_freq rope_ratio",
      "dim_model_base index_topk index_n_heads index_head_dim compress_ratios quantization_config compression_config",
    ]
      .join(" ")
      .split(" ")
      .map((name) => [name, []]),
  ),
  ...Object.fromEntries(
    [
      "partial_rotary_factor rotary_pct logit_scale logits_scaling embedding_multiplier residual_multiplier",
      "lm_head_multiplier scale_emb mup_scale",
    ]
      .join(" ")
      .split(" ")
      .map((name) => [name, [1]]),
  ),
  num_experts: [0, 1],
  num_local_experts: [0, 1],
  pruned_heads: [],
  norm_type: ["rmsnorm", "rms_norm", "RMSNorm"],
  hc_mult: [1],
};

/** Fields that say nothing about what the model computes: names, training, generation, and how a program runs it. */
const harmless = new Set(
  [
    "model_type architectures transformers_version torch_dtype dtype auto_map _name_or_path _commit_hash backbone",
    "_attn_implementation _attn_implementation_autoset attn_implementation _attn_implementation_internal name_or_path",
    "output_hidden_states output_attentions return_dict use_return_dict torchscript use_cache use_bfloat16 is_decoder",
    "chunk_size_feed_forward id2label label2id num_labels problem_type finetuning_task task_specific_params",
    "pad_token_id bos_token_id eos_token_id sep_token_id decoder_start_token_id tokenizer_class prefix unk_token_id",
    "initializer_range attention_dropout hidden_dropout pretraining_tp aux_loss_alpha seq_aux ep_size router_aux_loss_coef",
    "router_jitter_noise output_router_logits tie_encoder_decoder cross_attention_hidden_size tf_legacy_loss",
    "max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p",
    "typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids",
    "num_return_sequences output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values",
    "exponential_decay_length_penalty suppress_tokens begin_suppress_tokens layer_types qk_head_dim head_dim",
    "use_sliding_window mlp_only_layers rope_interleave max_window_layers _from_model_config vocab_file use_flash_attn gradient_checkpointing",
  ]
    .join(" ")
    .split(" "),
);

/** What a file says in fields of no table: what is wrong with them, or which were passed over. */
export function otherFields(
  config: HuggingFaceConfig,
  known: ReadonlySet<string>,
): { readonly wrong?: string; readonly passed: readonly string[] } {
  const passed: string[] = [];
  for (const [field, value] of Object.entries(config)) {
    if (known.has(field) || value === null) continue;
    if (field === "layer_types" && !areFullLayers(value))
      return { wrong: `has layer_types ${show(value)}; allowed: "full_attention" in every layer`, passed };
    if (harmless.has(field)) continue;
    if (!Object.hasOwn(foreign, field)) {
      passed.push(field);
      continue;
    }
    const allowed = foreign[field]!;
    if (allowed.includes(value) || isEmpty(value)) continue;
    const values = allowed.length > 0 ? allowed.map(show).join(" or ") : "none";
    return { wrong: `has ${field} ${show(value)}; allowed: ${values}: models here have no such part`, passed };
  }
  return { passed };
}

const areFullLayers = (value: unknown): boolean =>
  Array.isArray(value) && value.every((each) => each === "full_attention" || each === "attention");

const isEmpty = (value: unknown): boolean =>
  (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0);

/** A value as messages show it. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
