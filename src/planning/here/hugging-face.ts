// Question: what does Hugging Face's config.json say about a model that is to be planned?
//
// Planning needs sizes alone, so more can be planned than can be read for training: how rotary angles are scaled, how
// experts are chosen and how weights are quantised changes no count. The meaning of fields, and what one means that is
// missing, is the table of interop/hf/fields.ts (the transformers library's configuration classes); the types below that
// are not in it are named with the class whose defaults they have.

import { nearestName } from "../../basics/names.ts";
import { ownEntry } from "../../basics/objects.ts";
import { showValue } from "../../basics/show.ts";
import { type BlockType, type ConfigValues, type Field, fields, otherNames } from "../../interop/hf/fields.ts";
import type { Architecture, ConnectionShape, PlannedModel } from "../architecture.ts";

/** A model from a file. */
export interface ReadModel {
  readonly model: PlannedModel;
  /** Sentences about what the file leaves out, or what the plan does. */
  readonly notes: readonly string[];
}

/** A model type: whose fields it has, what else it counts and with which defaults. */
interface PlannedType {
  readonly blocks: BlockType;
  /** Defaults that differ from those of `blocks`. */
  readonly absent?: Readonly<Record<string, unknown>>;
  /** Whether the feed-forward is made of experts as wide as it (MixtralConfig). */
  readonly mixture?: true;
  /** What its counts leave out. */
  readonly note?: string;
}

/** Qwen2Config and Qwen3Config. */
const qwen = {
  vocab_size: 151936,
  intermediate_size: 22016,
  num_key_value_heads: 32,
  max_position_embeddings: 32768,
} as const;

const types: Readonly<Record<string, PlannedType>> = {
  llama: { blocks: "llama" },
  mistral: { blocks: "mistral" },
  mixtral: { blocks: "mistral", mixture: true, absent: { num_local_experts: 8, num_experts_per_tok: 2 } },
  qwen2: { blocks: "llama", absent: qwen, note: "The biases of its queries, keys and values are not counted." },
  qwen3: {
    blocks: "llama",
    absent: { ...qwen, head_dim: 128 },
    note: "The norms of its queries and keys are not counted.",
  },
  deepseek_v3: { blocks: "deepseek_v3" },
};

/** This library's own types have their blocks' type in `backbone`. */
const OWN = /^birkhoff_/;

/** Sequences are planned no longer than this unless it is said: files give the longest that a model can read. */
const USUAL_CONTEXT = 4096;

const plainSizes = [
  "vocab_size",
  "hidden_size",
  "intermediate_size",
  "num_hidden_layers",
  "num_attention_heads",
  "max_position_embeddings",
] as const;
const latentSizes = [
  "kv_lora_rank",
  "q_lora_rank",
  "qk_rope_head_dim",
  "qk_nope_head_dim",
  "v_head_dim",
  "first_k_dense_replace",
  "moe_layer_freq",
  "n_routed_experts",
  "n_shared_experts",
  "num_experts_per_tok",
  "moe_intermediate_size",
] as const;

const size: Field = {
  meaning: "a size",
  absent: undefined,
  allowed: "a whole number of at least 1",
  allows: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) < 2 ** 31,
};

/**
 * The sizes of a model in Hugging Face's form.
 *
 * @param file what to call it in messages
 * @throws Error with the field, its value and what is allowed
 */
export function planHuggingFace(config: Readonly<Record<string, unknown>>, name: string, file: string): ReadModel {
  const given = String(config["model_type"]);
  const type = OWN.test(given) ? String(config["backbone"]) : given;
  const planned = ownEntry(types, type);
  if (planned === undefined)
    throw new Error(
      `${file} has model_type ${showValue(config["model_type"])}; it must be ${Object.keys(types).join(", ")}, or this library's own. For another, write its sizes in a file of your own (docs/planning.md, Your own model).`,
    );
  const latent = planned.blocks === "deepseek_v3";
  const sizes: readonly string[] = [
    ...plainSizes,
    ...(latent ? latentSizes : ["num_key_value_heads"]),
    ...(planned.mixture ? ["num_local_experts", "num_experts_per_tok"] : []),
  ];
  const table: Readonly<Record<string, Field>> = fields[planned.blocks];
  const others = Object.entries(otherNames[planned.blocks] ?? {});
  // A null is an answer: no latent of the queries, as many heads of keys and values as heads.
  const stated = (field: string): unknown =>
    [field, ...others.flatMap(([other, means]) => (means === field ? [other] : []))]
      .map((each) => config[each])
      .find((value) => value !== undefined);
  const absent = (field: string): unknown => ownEntry(planned.absent ?? {}, field) ?? ownEntry(table, field)?.absent;
  const valueOf: ConfigValues = (field) => {
    if (field === "asked_context") return undefined;
    const value = stated(field);
    return value === undefined ? absent(field) : value;
  };
  const missing = sizes.filter((field) => stated(field) === undefined && absent(field) !== null);
  for (const key of Object.keys(config)) {
    const meant = Object.hasOwn(table, key) || sizes.includes(key) ? undefined : nearestName(key, missing);
    if (meant !== undefined)
      throw new Error(`${file} has ${key}, which means nothing there, and no ${meant}. Did you mean "${meant}"?`);
  }
  for (const field of sizes) {
    const { allows, allowed } = ownEntry(table, field) ?? size;
    if (!allows(valueOf(field), valueOf))
      throw new Error(`${file} has ${field} ${showValue(valueOf(field))}; it must be ${allowed}. Mend the file.`);
  }
  const number = (field: string): number => Number(valueOf(field));
  const longest = number("max_position_embeddings");
  const context = Math.min(longest, USUAL_CONTEXT);
  const model: Architecture = {
    known: "shapes",
    name,
    vocabulary: number("vocab_size"),
    context,
    width: number("hidden_size"),
    layers: number("num_hidden_layers"),
    attention: latent ? latentAttention(valueOf, number) : groupedAttention(valueOf, number, file),
    feedForward: feedForward(planned, latent, number),
    ...(valueOf("tie_word_embeddings") === true ? { tied: true } : {}),
    connection: connectionOf(config),
  };
  const extra = latent ? Number(config["num_nextn_predict_layers"] ?? 0) : 0;
  const window = valueOf("sliding_window");
  return {
    model,
    notes: [
      ...(missing.length > 0
        ? [
            `${file} does not say ${missing.map((field) => `${field} (${String(valueOf(field))}`).join("), ")}), as in the transformers library.`,
          ]
        : []),
      ...(longest > context
        ? [`The file allows ${longest} tokens of a sequence; ${context} are planned (--context for another length).`]
        : []),
      ...(planned.note === undefined ? [] : [planned.note]),
      ...(config["attention_bias"] === true || config["mlp_bias"] === true ? ["Its biases are not counted."] : []),
      ...(typeof window === "number" && window < context && config["use_sliding_window"] !== false
        ? [`Attention is counted over all tokens, not over a window of ${window}.`]
        : []),
      ...(extra > 0 ? [`Layers that predict further tokens are not counted: ${extra}.`] : []),
    ],
  };
}

function groupedAttention(
  valueOf: ConfigValues,
  number: (field: string) => number,
  file: string,
): Architecture["attention"] {
  const heads = number("num_attention_heads");
  const kvHeads = valueOf("num_key_value_heads") === null ? heads : number("num_key_value_heads");
  if (heads % kvHeads !== 0)
    throw new Error(
      `${file} has num_attention_heads ${heads} and num_key_value_heads ${kvHeads}; the second must divide the first. Mend the file.`,
    );
  const stated = valueOf("head_dim");
  const headSize = stated === null ? number("hidden_size") / heads : Number(stated);
  if (!size.allows(headSize, valueOf))
    throw new Error(
      stated === null
        ? `${file} has hidden_size ${number("hidden_size")} and num_attention_heads ${heads}; the second must divide the first where head_dim is not given. Mend the file.`
        : `${file} has head_dim ${showValue(stated)}; it must be ${size.allowed}. Mend the file.`,
    );
  return { kind: "grouped", heads, kvHeads, headSize };
}

function latentAttention(valueOf: ConfigValues, number: (field: string) => number): Architecture["attention"] {
  const [headSize, valueSize] = [number("qk_nope_head_dim"), number("v_head_dim")];
  return {
    kind: "latent",
    heads: number("num_attention_heads"),
    headSize,
    rotarySize: number("qk_rope_head_dim"),
    rank: number("kv_lora_rank"),
    ...(valueOf("q_lora_rank") === null ? {} : { queryRank: number("q_lora_rank") }),
    ...(valueSize === headSize ? {} : { valueSize }),
  };
}

function feedForward(
  { mixture }: PlannedType,
  latent: boolean,
  number: (field: string) => number,
): Architecture["feedForward"] {
  const hidden = number("intermediate_size");
  if (mixture)
    return {
      kind: "experts",
      hidden,
      routed: number("num_local_experts"),
      active: number("num_experts_per_tok"),
      shared: 0,
      leadingDense: 0,
    };
  const layers = number("num_hidden_layers");
  if (!latent || number("first_k_dense_replace") >= layers) return { kind: "dense", hidden };
  return {
    kind: "experts",
    hidden: number("moe_intermediate_size"),
    routed: number("n_routed_experts"),
    active: number("num_experts_per_tok"),
    shared: number("n_shared_experts"),
    leadingDense: number("first_k_dense_replace"),
    leadingHidden: hidden,
  };
}

/** The streams of this library's own types; 4 streams and 20 iterations, the paper's, for all others. */
function connectionOf(config: Readonly<Record<string, unknown>>): ConnectionShape {
  const own = OWN.test(String(config["model_type"]));
  const [streams, iterations] = [config["hc_mult"], config["hc_sinkhorn_iters"]];
  return {
    streams: own && typeof streams === "number" ? streams : 4,
    iterations: own && typeof iterations === "number" ? iterations : 20,
  };
}
