// Question: how does Hugging Face's config.json describe a model, and which of these models can this library read?
//
//   residual, plain attention                    model_type llama
//   residual, latent attention (and experts)     model_type deepseek_v3
//   mHC                                          model_type birkhoff_mhc, the blocks' names in `backbone`
//   HC                                           model_type birkhoff_hc
//
// The transformers library does not know the last two, on purpose: a loader that knew only the backbone would drop
// the connection silently. fields.ts has every field, what it means where it is missing, and what can be read; a
// model with a feature that this library lacks is refused, and the error names the field, its value and what is allowed.

import { isObject, ownEntry } from "../../basics/objects.ts";
import { mhcConventions } from "../../connections/conventions/table.ts";
import type { ConnectionConfig } from "../../connections/table.ts";
import { type ModelConfig, modelSchema } from "../../model/config.ts";
import { isMixed } from "../../model/overrides.ts";
import { problems } from "../../model/problems.ts";
import {
  type BlockType,
  type ConfigValues,
  fields,
  type HuggingFaceConfig,
  otherFields,
  otherNames,
  show,
  streamFields,
} from "./fields.ts";

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
  for (const field of ["valueResidual", "headMixing", "keyValues"] as const)
    if (model[field]) throw notExpressible(`it has ${field}, which neither llama nor deepseek_v3 has`);
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

const notExpressible = (why: string): NotExpressible => new NotExpressible(why);

/** Nothing in Hugging Face's formats computes what the model does. */
export class NotExpressible extends Error {
  /** What it has that they do not, as a clause. */
  readonly why: string;

  constructor(why: string) {
    super(`this model cannot be written for Hugging Face: ${why}. Its checkpoints are safetensors files in any case`);
    this.why = why;
  }
}

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
  if ((connection.maps ?? "all") !== "all")
    throw notExpressible(
      `it learns only some of its maps (maps: ${connection.maps}), and deepseek_v4's names are for all`,
    );
  if ((connection.dynamic ?? "token") !== "token" || (connection.group ?? 1) > 1)
    throw notExpressible(`its maps do not depend on each token alone, as those of deepseek_v4's names do`);
  if (connection.active !== undefined)
    throw notExpressible("it mixes and writes only some of its streams, and deepseek_v4's names are for all of them");
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

/** Model types by the names of their blocks' tensors; Mistral without its window is Llama. */
const backbones: Readonly<Record<BlockType, Backbone>> = {
  llama: "llama",
  mistral: "llama",
  deepseek_v3: "deepseek_v3",
};
/** Models with streams: this library's model types; older versions wrote the last two. */
const streamTypes: Readonly<Record<string, "mhc" | "hc">> = {
  birkhoff_mhc: "mhc",
  birkhoff_hc: "hc",
  birkhoff_manifold: "mhc",
  birkhoff_hyper: "hc",
};

/** The model type of the blocks: a stream model's is its backbone. */
function blockType(config: HuggingFaceConfig): BlockType | undefined {
  const type = String(config["model_type"]);
  const blocks = Object.hasOwn(streamTypes, type) ? String(config["backbone"]) : type;
  return Object.hasOwn(backbones, blocks) ? (blocks as BlockType) : undefined;
}

/** What a config.json says beyond the model. */
export interface ReadConfig {
  readonly model: ModelConfig;
  /** Whether the output matrix is the embedding. */
  readonly tied: boolean;
  /** Whether the rotated columns of a head of MLA lie in pairs. */
  readonly interleaved: boolean;
  /** How many layers after the last predict further tokens, if the file has them; the model is without them. */
  readonly extraLayers: number;
  /** Sentences about what was passed over, or is a little different here. */
  readonly notes: readonly string[];
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
  const type = blockType(config);
  if (type === undefined) {
    const allowed = [...Object.keys(backbones), ...Object.keys(streamTypes)].join(", ");
    const backbone = Object.hasOwn(streamTypes, String(config["model_type"]))
      ? ` with backbone ${show(config["backbone"])}`
      : "";
    return fail(name, `has model_type ${show(config["model_type"])}${backbone}; allowed: ${allowed}`);
  }
  const { valueOf, passed } = checkedFields(config, type, name, context);
  const number = (field: string): number => Number(valueOf(field));

  const longest = number("max_position_embeddings");
  if (context !== undefined && context > longest) {
    fail(name, `has max_position_embeddings ${longest}; a context of ${context} is longer than it was made for`);
  }
  const latent = backbones[type] === "deepseek_v3";
  const model = {
    vocabulary: number("vocab_size"),
    context: context ?? longest,
    width: number("hidden_size"),
    layers: number("num_hidden_layers"),
    heads: number("num_attention_heads"),
    kvHeads: number(latent || valueOf("num_key_value_heads") === null ? "num_attention_heads" : "num_key_value_heads"),
    hidden: number("intermediate_size"),
    ropeTheta: rotaryBase(valueOf),
    normEpsilon: number("rms_norm_eps"),
    connection: readConnection(config, valueOf, name),
    ...(latent ? readLatent(valueOf) : {}),
  };
  const parsed = modelSchema.safeParse(model);
  if (!parsed.success) {
    const lines = problems(parsed.error.issues, model, modelSchema);
    return fail(
      name,
      `has ${lines.map((line) => line.replace(/^\w+/, (field) => ownEntry(theirNames, field) ?? field)).join("; ")}`,
    );
  }
  const ofLatents = latent && model.normEpsilon !== 1e-6;
  return {
    model: parsed.data,
    tied: valueOf("tie_word_embeddings") === true,
    interleaved: valueOf("rope_interleave") === true,
    extraLayers: latent ? number("num_nextn_predict_layers") : 0,
    notes: [
      ...(passed.length > 0
        ? [`Fields of ${name} that models of this type do not have were passed over: ${passed.join(", ")}.`]
        : []),
      ...(ofLatents && model.normEpsilon > 1e-8
        ? [
            `Its latents are normalised with ${model.normEpsilon} here, as all its norms; transformers does so with 1e-6.`,
          ]
        : []),
    ],
  };
}

/** Sizes of a model by the names that they have in their configurations. */
const theirNames: Readonly<Record<string, string>> = {
  vocabulary: "vocab_size",
  context: "max_position_embeddings",
  width: "hidden_size",
  layers: "num_hidden_layers",
  heads: "num_attention_heads",
  kvHeads: "num_key_value_heads",
  hidden: "intermediate_size",
  ropeTheta: "rope_theta",
  normEpsilon: "rms_norm_eps",
};

function fail(name: string, why: string): never {
  throw new Error(`${name} ${why}`);
}

/** Holds every field against the table; a missing one has the table's value. */
function checkedFields(
  config: HuggingFaceConfig,
  type: BlockType,
  name: string,
  context: number | undefined,
): { readonly valueOf: ConfigValues; readonly passed: readonly string[] } {
  const streams = Object.hasOwn(streamTypes, String(config["model_type"]));
  const table = new Map(Object.entries({ ...fields[type], ...(streams ? streamFields : {}) }));
  const others = new Map(Object.entries(otherNames[type] ?? {}));
  const given = new Map(Object.entries(config));
  for (const [other, field] of others) {
    const stated = given.get(other);
    if (stated === undefined) continue;
    if (given.has(field) && given.get(field) !== stated)
      fail(
        name,
        `has ${field} ${show(given.get(field))} and ${other} ${show(stated)}, two names of one field; keep one`,
      );
    given.set(field, stated);
  }
  const valueOf: ConfigValues = (field) => {
    if (field === "asked_context") return context;
    const stated = given.get(field);
    return stated === undefined ? table.get(field)?.absent : stated;
  };
  for (const [field, { allows, allowed, absent }] of table) {
    const value = valueOf(field);
    if (allows(value, valueOf)) continue;
    fail(
      name,
      given.has(field)
        ? `has ${field} ${show(value)}; allowed: ${allowed}`
        : `has no ${field}: where ${field} is missing, which means ${show(absent)} in ${type}, this library cannot read the model; allowed: ${allowed}. If the model has such a value, write it there`,
    );
  }
  const known = [...table.keys(), ...others.keys(), ...(streams ? streamNames : [])];
  const { wrong, passed } = otherFields(config, new Set(known));
  if (wrong !== undefined) fail(name, wrong);
  return { valueOf, passed };
}

/** Fields of the connection, which readConnection looks at. */
const streamNames = ["hc_mult", "hc_sinkhorn_iters", "hc_eps", "hc_norm_eps", "hc_collapse"];

/** Newer files have it among the rope_parameters, which older ones call rope_scaling; there it comes first. */
function rotaryBase(valueOf: ConfigValues): number {
  const parameters = valueOf("rope_scaling") ?? valueOf("rope_parameters");
  const own = isObject(parameters) ? parameters["rope_theta"] : undefined;
  return Number(own ?? valueOf("rope_theta"));
}

function readLatent(valueOf: ConfigValues): Partial<ModelConfig> {
  const number = (field: string): number => Number(valueOf(field));
  const queryRank = valueOf("q_lora_rank");
  const attention = {
    kind: "mla" as const,
    rank: number("kv_lora_rank"),
    ...(queryRank === null ? {} : { queryRank: Number(queryRank) }),
    rotarySize: number("qk_rope_head_dim"),
    contentSize: number("qk_nope_head_dim"),
    valueSize: number("v_head_dim"),
  };
  const denseLayers = number("first_k_dense_replace");
  if (denseLayers >= number("num_hidden_layers")) return { attention };
  const scale = number("routed_scaling_factor");
  const active = number("num_experts_per_tok");
  const normalise = valueOf("norm_topk_prob") === true;
  return {
    attention,
    feedForward: {
      kind: "moe",
      experts: number("n_routed_experts"),
      active,
      shared: Number(valueOf("n_shared_experts") ?? 0),
      hidden: number("moe_intermediate_size"),
      denseLayers,
      balanceRate: 1e-3,
      ...(scale === 1 ? {} : { scale }),
      ...(normalise === active > 1 ? {} : { normalise }),
    },
  };
}

function readConnection(config: HuggingFaceConfig, valueOf: ConfigValues, name: string): unknown {
  const { hc_mult: streams, hc_collapse: collapse } = config;
  const dtype = valueOf("hc_stream_dtype");
  const common = { streams, collapse, ...(dtype === "bfloat16" ? { streamPrecision: dtype } : {}) };
  const type = String(config["model_type"]);
  if (!Object.hasOwn(streamTypes, type)) return { kind: "residual" };
  const kind = streamTypes[type];
  if (kind === "hc") {
    const [dynamic, tanh] = [valueOf("hc_dynamic"), valueOf("hc_tanh")];
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
