// Question: what describes a model?
//
// Plain data, validated once and kept in the run folder, describes it. Presets are sizes that train on a laptop, and
// sizes for one GPU.

import { expectHas } from "../basics/fields.ts";
import { z } from "zod";
import { MOST_LAYERS, MOST_TOKENS, MOST_WIDTH } from "../basics/bounds.ts";
import { count, positiveFloat32 } from "../basics/schemas.ts";
import { type ConnectionConfig, connectionSchema } from "../connections/table.ts";
import { type HeadMixingConfig, headMixingSchema } from "./head-mixing.ts";
import { type KeyValuesConfig, keyValuesSchema } from "./key-values.ts";
import { type LatentAttentionConfig, latentAttentionSchema } from "./latent-attention.ts";
import { misfits } from "./misfits.ts";
import { type MixtureConfig, mixtureSchema } from "./mixture.ts";
import { isMixed, layersOf, type ModelConnection, modelConnectionSchema } from "./overrides.ts";
import { problems } from "./problems.ts";

/** A transformer as plain data: its sizes and its connection. */
export interface ModelConfig {
  /** Tokens of the vocabulary V. */
  readonly vocabulary: number;
  /** Tokens of a sequence T. */
  readonly context: number;
  /** Channels C. */
  readonly width: number;
  /** Blocks, at most 512; each has an attention and a feed-forward sublayer. */
  readonly layers: number;
  readonly heads: number;
  /** Key-value heads; fewer than heads is grouped-query attention. */
  readonly kvHeads: number;
  /** Inner width of the feed-forward sublayer. */
  readonly hidden: number;
  /** Base of the rotary angles, from 1 to 1e15. Default 10000. */
  readonly ropeTheta: number;
  /**
   * Added to the mean square in every RMSNorm. Default 1e-20, as in the paper of mHC: just enough for a
   * row of zeros, too little for a model to see whether its streams were summed or averaged. At most 1, and no
   * less than float32's least number, 1.4e-45.
   */
  readonly normEpsilon: number;
  /** One connection for all sublayers, or a default and overrides by layer and role. */
  readonly connection: ModelConnection;
  /** Whether later attention layers mix their values with the first layer's; absent means no. */
  readonly valueResidual?: boolean;
  /** How the heads of an attention layer mix their values or their scores; absent means that they do not. */
  readonly headMixing?: HeadMixingConfig;
  /** A connection that carries keys and values from one attention layer to the next; absent means none. */
  readonly keyValues?: KeyValuesConfig;
  /** Multi-head latent attention; absent means plain attention with heads of width / heads columns. */
  readonly attention?: LatentAttentionConfig;
  /** A mixture of experts in place of the feed-forward; absent means one SwiGLU of width `hidden`. */
  readonly feedForward?: MixtureConfig;
}

/** Checks a model's configuration and fills in its defaults. */
export const modelSchema: z.ZodType<ModelConfig> = z
  .strictObject({
    vocabulary: count(MOST_TOKENS),
    context: count(MOST_TOKENS),
    width: count(MOST_WIDTH),
    layers: count(MOST_LAYERS),
    heads: count(MOST_WIDTH),
    kvHeads: count(MOST_WIDTH),
    hidden: count(MOST_TOKENS),
    // Below 1 the last columns would turn fastest, by angles without a bound.
    ropeTheta: positiveFloat32.min(1).max(1e15).default(10000),
    normEpsilon: positiveFloat32.max(1).default(1e-20),
    connection: modelConnectionSchema,
    valueResidual: z.boolean().exactOptional(),
    headMixing: headMixingSchema.exactOptional(),
    keyValues: keyValuesSchema.exactOptional(),
    attention: latentAttentionSchema.exactOptional(),
    feedForward: mixtureSchema.exactOptional(),
  })
  .superRefine((model, context) => {
    for (const [field, message] of misfits(model)) context.addIssue({ code: "custom", path: [field], message });
  })
  .superRefine(({ connection, layers }, context) => {
    // What is out of range by itself is reported already.
    if (!(layers >= 1 && layers <= MOST_LAYERS) || !isMixed(connection)) return;
    for (const [index, override] of connection.overrides.entries()) {
      try {
        layersOf(override.layers, layers);
      } catch (error) {
        const path = ["connection", "overrides", index, "layers"];
        context.addIssue({ code: "custom", path, message: (error as Error).message });
      }
    }
  });

/** A model's sizes without vocabulary and connection, which the data and the experiment decide. */
export type ModelSize = Pick<
  ModelConfig,
  "context" | "width" | "layers" | "heads" | "kvHeads" | "hidden" | "attention" | "feedForward"
>;

/** Names of the sizes that train on a laptop, and of those for one GPU. */
export type Preset =
  | "nano"
  | "micro"
  | "mini"
  | "moe-nano"
  | "moe-micro"
  | "gpt2-small"
  | "gpt2-medium"
  | "dense-1b"
  | "moe-small";

/**
 * Sizes that train on a laptop, nano to moe-micro, and sizes for one GPU. The moe sizes follow the models of the mHC
 * paper (Table 5): latent attention, a leading dense layer as wide as the experts a token uses, then mixtures of
 * experts.
 *
 * gpt2-small and gpt2-medium have the layers, width, heads and context of GPT-2 (124M and 355M). A SwiGLU of 8/3 of the
 * width has the weights of GPT-2's feed-forward of 4 times the width; at 1024 channels 2752 is the next multiple of 64.
 * There are no biases and no learned positions, and the head is a matrix of its own.
 *
 * dense-1b has every size of TinyLlama 1.1B, which is built in the same way. In moe-small a token uses as many
 * feed-forward columns as in gpt2-small, of eight times as many.
 */
export const presets: Readonly<Record<Preset, ModelSize>> = {
  nano: { context: 128, width: 128, layers: 4, heads: 4, kvHeads: 4, hidden: 384 },
  micro: { context: 256, width: 256, layers: 4, heads: 8, kvHeads: 8, hidden: 704 },
  mini: { context: 512, width: 384, layers: 8, heads: 12, kvHeads: 4, hidden: 1024 },
  "moe-nano": {
    context: 128,
    width: 128,
    layers: 4,
    heads: 4,
    kvHeads: 4,
    hidden: 384,
    attention: { kind: "mla", rank: 64, rotarySize: 16, contentSize: 32, valueSize: 32 },
    feedForward: { kind: "moe", experts: 16, active: 3, shared: 1, hidden: 96, denseLayers: 1, balanceRate: 1e-3 },
  },
  "moe-micro": {
    context: 256,
    width: 256,
    layers: 4,
    heads: 8,
    kvHeads: 8,
    hidden: 720,
    attention: { kind: "mla", rank: 128, rotarySize: 16, contentSize: 32, valueSize: 32 },
    feedForward: { kind: "moe", experts: 16, active: 4, shared: 1, hidden: 144, denseLayers: 1, balanceRate: 1e-3 },
  },
  "gpt2-small": { context: 1024, width: 768, layers: 12, heads: 12, kvHeads: 12, hidden: 2048 },
  "gpt2-medium": { context: 1024, width: 1024, layers: 24, heads: 16, kvHeads: 16, hidden: 2752 },
  "dense-1b": { context: 2048, width: 2048, layers: 22, heads: 32, kvHeads: 4, hidden: 5632 },
  "moe-small": {
    context: 1024,
    width: 768,
    layers: 12,
    heads: 12,
    kvHeads: 12,
    hidden: 2048,
    attention: { kind: "mla", rank: 256, rotarySize: 32, contentSize: 64, valueSize: 64 },
    feedForward: { kind: "moe", experts: 62, active: 6, shared: 2, hidden: 256, denseLayers: 1, balanceRate: 1e-3 },
  },
};

/**
 * A connection's configuration with its defaults filled in.
 *
 * @throws RangeError that names each wrong field
 */
export function parseConnection(value: unknown): ConnectionConfig {
  const result = connectionSchema.safeParse(value);
  if (result.success) return result.data;
  throw new RangeError(problems(result.error.issues, value, connectionSchema).join("; "));
}

/** Throw a TypeError unless it has what every model's configuration has. */
export function expectModelConfig(operation: string, config: unknown): void {
  const fields = ["vocabulary", "width", "layers", "connection"];
  expectHas(
    operation,
    "config",
    config,
    fields,
    "Give the model of a training's configuration, or an object of your own.",
  );
}
