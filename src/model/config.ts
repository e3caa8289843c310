// Question: what describes a model?
//
// Plain data, validated once; a run folder keeps it. Presets are the sizes that train on a laptop.

import { z } from "zod";
import { attentionResiduals } from "../connections/attention-residuals.ts";
import type { Collapse, Connection } from "../connections/connection.ts";
import type { StreamsEnd } from "../connections/conventions/convention.ts";
import { type ManifoldConventionName, manifoldConventionNames } from "../connections/conventions/table.ts";
import { dense } from "../connections/dense.ts";
import { frac } from "../connections/frac.ts";
import { gatedResidual } from "../connections/gated-residual.ts";
import { highway } from "../connections/highway.ts";
import { hyper } from "../connections/hyper.ts";
import { type InitialisationName, initialisationNames } from "../connections/initialisations.ts";
import { manifold } from "../connections/manifold.ts";
import { type ResidualMapName, residualMapNames } from "../connections/manifolds/table.ts";
import { mixed, runStarts } from "../connections/mixed.ts";
import type { StreamPrecision } from "../ops/stream-precision.ts";
import { residual } from "../connections/residual.ts";
import { type LatentAttentionConfig, latentAttentionSchema } from "./latent-attention.ts";
import { type MixtureConfig, mixtureSchema } from "./mixture.ts";
import { misfits } from "./misfits.ts";
import { problem, problems } from "./problems.ts";
import { layersOf, type Override, overrideSchema, sublayerRole } from "./overrides.ts";

/** The plain residual. */
export interface ResidualConfig {
  readonly kind: "residual";
}

/** Hyper-Connections; see `HyperOptions`. */
export interface HyperConfig {
  readonly kind: "hyper";
  readonly streams: number;
  readonly collapse: Collapse;
  /** Whether the coefficients depend on the token; absent (as in older runs) they do. */
  readonly dynamic?: boolean;
  /** Whether tanh bounds the dynamic part; absent it does. */
  readonly tanh?: boolean;
  /** How streams are kept between the sublayers; absent it is "float32". */
  readonly streamPrecision?: StreamPrecision;
}

/** mHC; see `ManifoldOptions`. */
export interface ManifoldConfig {
  readonly kind: "manifold";
  readonly streams: number;
  /** Sinkhorn-Knopp iterations. */
  readonly iterations: number;
  /** Which matrices H_res is chosen from; absent (as in runs older than the choice) it is "sinkhorn". */
  readonly residualMap?: ResidualMapName;
  /** How the parameters start; absent it is "default". */
  readonly initialisation?: InitialisationName;
  /** Whose formulas exactly; absent it is "paper". */
  readonly convention?: ManifoldConventionName;
  /** "mean" is also what stands here when nobody chose: a convention with another end then takes its own. */
  readonly collapse: StreamsEnd;
  readonly streamPrecision?: StreamPrecision;
}

/** Highway; see `HighwayOptions`. */
export interface HighwayConfig {
  readonly kind: "highway";
  /** Where the logits of the gates start. */
  readonly bias: number;
}

/** Dense connections; see `dense`. */
export interface DenseConfig {
  readonly kind: "dense";
}

/** Frac-Connections; see `FracOptions`. */
export interface FracConfig {
  readonly kind: "frac";
  readonly fractions: number;
  readonly dynamic: boolean;
}

/** Attention residuals; see `AttentionResidualsOptions`. */
export interface AttentionResidualsConfig {
  readonly kind: "attention-residuals";
  /** How many consecutive sublayers share one source. */
  readonly blockSize: number;
}

/** The gated residual; see `GatedResidualOptions`. */
export interface GatedResidualConfig {
  readonly kind: "gated-residual";
  readonly streams: number;
  /** Inner width of the gates' projection. */
  readonly rank: number;
  readonly streamPrecision?: StreamPrecision;
}

/** A connection as plain data; `createConnection` makes it. */
export type ConnectionConfig =
  | ResidualConfig
  | HyperConfig
  | ManifoldConfig
  | HighwayConfig
  | DenseConfig
  | FracConfig
  | AttentionResidualsConfig
  | GatedResidualConfig;

/** Which connection: the field `kind` of its configuration. */
export type ConnectionKind = ConnectionConfig["kind"];
/** Every kind of connection, by the name that configurations and the command line use. */
export const connectionKinds: readonly ConnectionKind[] = [
  "residual",
  "hyper",
  "manifold",
  "highway",
  "dense",
  "frac",
  "attention-residuals",
  "gated-residual",
];

/** One connection for most sublayers and others for some; where overrides overlap, the last one holds. */
export interface MixedConnectionConfig {
  readonly default: ConnectionConfig;
  readonly overrides: readonly (Override & { readonly connection: ConnectionConfig })[];
}

/** A transformer as plain data: its sizes and its connection. */
export interface ModelConfig {
  /** Tokens of the vocabulary V. */
  readonly vocabulary: number;
  /** Tokens of a sequence T. */
  readonly context: number;
  /** Channels C. */
  readonly width: number;
  /** Blocks; each has an attention and a feed-forward sublayer. */
  readonly layers: number;
  readonly heads: number;
  /** Key-value heads; fewer than heads is grouped-query attention. */
  readonly kvHeads: number;
  /** Inner width of the feed-forward sublayer. */
  readonly hidden: number;
  /** Base of the rotary angles. Default 10000. */
  readonly ropeTheta: number;
  /**
   * Added to the mean square in every RMSNorm. Default 1e-20, as in the paper of mHC: just enough for a
   * row of zeros, too little for a model to see whether its streams were summed or averaged.
   */
  readonly normEpsilon: number;
  /** One connection for all sublayers, or a default and overrides by layer and role. */
  readonly connection: ConnectionConfig | MixedConnectionConfig;
  /** Whether later attention layers mix their values with the first one's; absent they do not. */
  readonly valueResidual?: boolean;
  /** Multi-head latent attention; absent it is plain attention with heads of width / heads columns. */
  readonly attention?: LatentAttentionConfig;
  /** A mixture of experts in place of the feed-forward; absent it is one SwiGLU of `hidden`. */
  readonly feedForward?: MixtureConfig;
}

const positive = z.int().min(1);
const collapse = z.enum(["mean", "sum"]);
const streamPrecision = z.enum(["float32", "bfloat16"]).exactOptional();

const streams = positive.max(32).default(4);

const schemas = {
  residual: z.strictObject({ kind: z.literal("residual") }),
  hyper: z.strictObject({
    kind: z.literal("hyper"),
    streams,
    collapse: collapse.default("sum"),
    dynamic: z.boolean().exactOptional(),
    tanh: z.boolean().exactOptional(),
    streamPrecision,
  }),
  manifold: z.strictObject({
    kind: z.literal("manifold"),
    streams,
    iterations: positive.default(20),
    residualMap: z.enum(residualMapNames).exactOptional(),
    initialisation: z.enum(initialisationNames).exactOptional(),
    convention: z.enum(manifoldConventionNames).exactOptional(),
    collapse: z.enum(["mean", "sum", "learned", "carried"]).default("mean"),
    streamPrecision,
  }),
  highway: z.strictObject({ kind: z.literal("highway"), bias: z.number().default(-2) }),
  dense: z.strictObject({ kind: z.literal("dense") }),
  frac: z.strictObject({
    kind: z.literal("frac"),
    fractions: positive.max(32).default(4),
    dynamic: z.boolean().default(true),
  }),
  "attention-residuals": z.strictObject({ kind: z.literal("attention-residuals"), blockSize: positive.default(1) }),
  "gated-residual": z.strictObject({
    kind: z.literal("gated-residual"),
    streams,
    rank: positive.default(16),
    streamPrecision,
  }),
} satisfies Record<ConnectionKind, z.ZodObject>;

/** The names of a kind's options. */
export function connectionOptions(kind: ConnectionKind): readonly string[] {
  return Object.keys(schemas[kind].shape).filter((name) => name !== "kind");
}

const connectionSchema: z.ZodType<ConnectionConfig> = z.discriminatedUnion("kind", [
  schemas.residual,
  schemas.hyper,
  schemas.manifold,
  schemas.highway,
  schemas.dense,
  schemas.frac,
  schemas["attention-residuals"],
  schemas["gated-residual"],
]);

const mixedSchema: z.ZodType<MixedConnectionConfig> = z.strictObject({
  default: connectionSchema,
  overrides: z.array(overrideSchema.extend({ connection: connectionSchema })).default([]),
});

/** Either form; the errors are those of the form that was meant. */
const anyConnectionSchema: z.ZodType<ConnectionConfig | MixedConnectionConfig> = z
  .unknown()
  .transform((value, context) => {
    const wanted = typeof value === "object" && value !== null && "default" in value ? mixedSchema : connectionSchema;
    const result = wanted.safeParse(value);
    if (result.success) return result.data;
    for (const issue of result.error.issues)
      context.addIssue({ code: "custom", path: [...issue.path], message: problem(issue, value) });
    return z.NEVER;
  });

/** Checks a model's configuration and fills in its defaults. */
export const modelSchema: z.ZodType<ModelConfig> = z
  .strictObject({
    vocabulary: positive,
    context: positive,
    width: positive,
    layers: positive,
    heads: positive,
    kvHeads: positive,
    hidden: positive,
    ropeTheta: z.number().positive().default(10000),
    normEpsilon: z.number().positive().default(1e-20),
    connection: anyConnectionSchema,
    valueResidual: z.boolean().exactOptional(),
    attention: latentAttentionSchema.exactOptional(),
    feedForward: mixtureSchema.exactOptional(),
  })
  .superRefine((model, context) => {
    for (const [field, message] of misfits(model)) context.addIssue({ code: "custom", path: [field], message });
  })
  .superRefine(({ connection, layers }, context) => {
    if (!isMixed(connection)) return;
    for (const [index, override] of connection.overrides.entries()) {
      try {
        layersOf(override.layers, layers);
      } catch (error) {
        const path = ["connection", "overrides", index, "layers"];
        context.addIssue({ code: "custom", path, message: (error as Error).message });
      }
    }
  });

/** Sizes without vocabulary and connection, which the data and the experiment decide. */
export type ModelSize = Pick<
  ModelConfig,
  "context" | "width" | "layers" | "heads" | "kvHeads" | "hidden" | "attention" | "feedForward"
>;

/** Names of the sizes that train on a laptop. */
export type Preset = "nano" | "micro" | "mini" | "moe-nano" | "moe-micro";

/**
 * Sizes that train on a laptop. The moe sizes are made as the models of the mHC paper (Table 5): latent
 * attention, a leading dense layer as wide as the experts a token uses, then mixtures of experts.
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
};

/**
 * A connection's configuration with its defaults filled in.
 *
 * @throws RangeError that names each wrong field
 */
export function parseConnection(value: unknown): ConnectionConfig {
  const result = connectionSchema.safeParse(value);
  if (result.success) return result.data;
  throw new RangeError(problems(result.error.issues, value).join("; "));
}

/** A kind of connection with all its defaults. */
export function defaultConnection(kind: ConnectionKind): ConnectionConfig {
  return connectionSchema.parse({ kind });
}

const makers: { readonly [K in ConnectionKind]: (config: Extract<ConnectionConfig, { kind: K }>) => Connection } = {
  residual: () => residual(),
  hyper: (options) => hyper(options),
  manifold: ({ collapse: how, ...options }) => manifold(how === "mean" ? options : { ...options, collapse: how }),
  highway: (options) => highway(options),
  dense: () => dense(),
  frac: (options) => frac(options),
  "attention-residuals": (options) => attentionResiduals(options),
  "gated-residual": (options) => gatedResidual(options),
};

/**
 * The connection that a configuration describes.
 *
 * @throws RangeError for what the connection itself refuses, such as a residual map without so many streams
 */
export function createConnection(config: ConnectionConfig): Connection {
  return (makers[config.kind] as (config: ConnectionConfig) => Connection)(config);
}

/** Whether a configuration has a connection for most sublayers and others for some. */
export function isMixed(config: ModelConfig["connection"]): config is MixedConnectionConfig {
  return "default" in config;
}

/** What each sublayer uses, in order of depth: attention and feed-forward of layer 0, of layer 1, and so on. */
export function sublayerConnections({
  connection,
  layers,
}: Pick<ModelConfig, "connection" | "layers">): ConnectionConfig[] {
  const plain = isMixed(connection) ? connection.default : connection;
  const overrides = isMixed(connection) ? connection.overrides : [];
  return Array.from({ length: 2 * layers }, (_, index) => {
    const role = sublayerRole(index);
    const holds = (override: Override): boolean =>
      (override.role ?? role) === role && layersOf(override.layers, layers).includes(index >> 1);
    return overrides.findLast(holds)?.connection ?? plain;
  });
}

/** For every sublayer the first of those that hand their state on to it; see connections/mixed.ts. */
export function sublayerRuns(model: Pick<ModelConfig, "connection" | "layers">): number[] {
  return runStarts(sublayerConnections(model).map(createConnection));
}

/**
 * The connection of a whole model, `mixed` where it is not the same for all sublayers.
 *
 * @throws RangeError for what its connections refuse, and for layers that the model does not have
 */
export function modelConnection(model: Pick<ModelConfig, "connection" | "layers">): Connection {
  return isMixed(model.connection)
    ? mixed(sublayerConnections(model).map(createConnection))
    : createConnection(model.connection);
}
