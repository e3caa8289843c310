// Question: which numbers of a Hugging Face checkpoint are which numbers of our parameters?
//
// Every tensor of the checkpoint is a view of one of ours: its row o begins at offsets[o] and continues in steps of
// `stride`,
//
//   theirs[o, i] = ours[offsets[o] + i · stride]
//
// so reading and writing are the same loop in opposite directions, and no number changes. These layouts differ:
//
//   linear layers    PyTorch stores [out, in], this library [in, out]: stride = out
//   qkv, gateUp      one matrix here, separate ones for q, k, v and for gate, up there: a range of columns
//   heads of MLA     rotated columns come first here, last there; there, they rotate in pairs (2i, 2i + 1)
//                    (rope_interleave), while this library pairs i with i + R/2: an order of columns
//   H_res of mHC     DeepSeek V4 applies it transposed: an order of rows (connections/conventions/convert.ts)
//
// Names: those of llama and deepseek_v3 as the transformers library stores them, and deepseek_v4's for the
// connection. Legend: C channels, H heads, R, K, V columns of a head of MLA, n streams.

import type { ConnectionConfig } from "../../connections/table.ts";
import type { ModelConfig } from "../../model/config.ts";
import type { LatentAttentionConfig } from "../../model/latent-attention.ts";
import { isMixed } from "../../model/overrides.ts";
import { mixtureOf } from "../../model/mixture.ts";
import { connectionTensorName } from "../connection-names.ts";

/** A tensor of a Hugging Face checkpoint as a view of one of ours. */
export interface TensorView {
  /** The name in the checkpoint. */
  readonly name: string;
  readonly shape: readonly number[];
  /** The name of our tensor. */
  readonly source: string;
  /** Where each row begins. */
  readonly offsets: readonly number[];
  /** The distance from one number of a row to the next. */
  readonly stride: number;
}

/** Reads the numbers of a view, row-major, from our tensor. */
export function gatherView({ shape, offsets, stride }: TensorView, ours: Float32Array): Float32Array {
  const width = widthOf(shape);
  const theirs = new Float32Array(offsets.length * width);
  for (const [row, offset] of offsets.entries())
    for (let i = 0; i < width; i++) theirs[row * width + i] = ours[offset + i * stride]!;
  return theirs;
}

/** Writes the numbers of a view to their places in our tensor. */
export function scatterView({ shape, offsets, stride }: TensorView, theirs: Float32Array, ours: Float32Array): void {
  const width = widthOf(shape);
  for (const [row, offset] of offsets.entries())
    for (let i = 0; i < width; i++) ours[offset + i * stride] = theirs[row * width + i]!;
}

/** How many numbers a row has. */
const widthOf = (shape: readonly number[]): number => shape.slice(1).reduce((product, size) => product * size, 1);

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

/** [out, in], from the given columns of our [in, all columns], which begins at `base`. */
function linear(
  name: string,
  source: string,
  from: {
    readonly inputs: number;
    readonly total: number;
    readonly columns?: readonly number[];
    readonly base?: number;
  },
): TensorView {
  const { inputs, total, columns = range(total), base = 0 } = from;
  const offsets = columns.map((column) => base + column);
  return { name, shape: [columns.length, inputs], source, offsets, stride: total };
}

/** Rows of our [rows, width], in the given order. */
function rows(name: string, source: string, width: number, order: readonly number[]): TensorView {
  return { name, shape: [order.length, width], source, offsets: order.map((row) => row * width), stride: 1 };
}

/** Numbers of one of our vectors, in the given order. */
function vector(name: string, source: string, order: readonly number[]): TensorView {
  return { name, shape: [order.length], source, offsets: order, stride: 0 };
}

/**
 * All tensors of a model as Hugging Face stores them, in order of depth. Together they are views of every
 * parameter, with each number once.
 *
 * @param interleaved whether the columns of MLA that rotate together lie side by side in the checkpoint, as is usual
 */
export function huggingFaceTensors(config: ModelConfig, interleaved = true): TensorView[] {
  const { vocabulary, width, layers, connection } = config;
  if (isMixed(connection)) throw new Error("a connection that is not the same for all sublayers has no such names");
  return [
    rows("model.embed_tokens.weight", "embedding", width, range(vocabulary)),
    ...range(layers).flatMap((layer) => {
      const [theirs, ours] = [`model.layers.${layer}`, `layers.${layer}`];
      return [
        vector(`${theirs}.input_layernorm.weight`, `${ours}.attention.norm`, range(width)),
        ...(config.attention
          ? latentAttention(config, `${theirs}.self_attn`, `${ours}.attention`, interleaved)
          : attention(config, `${theirs}.self_attn`, `${ours}.attention`)),
        vector(`${theirs}.post_attention_layernorm.weight`, `${ours}.feedForward.norm`, range(width)),
        ...feedForward(config, layer, `${theirs}.mlp`, `${ours}.feedForward`),
        ...connectionTensors(connection, width, `${theirs}.attention`, `${ours}.attention`),
        ...connectionTensors(connection, width, `${theirs}.feedForward`, `${ours}.feedForward`),
      ];
    }),
    ...endingTensors(connection, width),
    vector("model.norm.weight", "norm", range(width)),
    linear("lm_head.weight", "head", { inputs: width, total: vocabulary }),
  ];
}

/**
 * How many tensors a checkpoint of a model has, and how many numbers, the learned end's left out: a formula, for sizes
 * that nothing else has bounded yet.
 */
export function countTensors(config: ModelConfig): { readonly tensors: number; readonly numbers: number } {
  const {
    vocabulary: V,
    width: C,
    layers,
    heads: H,
    kvHeads,
    hidden,
    attention: latent,
    feedForward: mixture,
  } = config;
  const dense = mixture ? Math.min(mixture.denseLayers, layers) : layers;
  const attended = latent ? latentCount(C, H, latent) : { tensors: 4, numbers: 2 * C * C + (2 * kvHeads * C * C) / H };
  const experts = mixture ? mixture.experts : 0;
  const mixed = mixture
    ? {
        tensors: 2 + 3 * experts + (mixture.shared > 0 ? 3 : 0),
        numbers: experts * (C + 1) + 3 * C * mixture.hidden * (experts + mixture.shared),
      }
    : { tensors: 0, numbers: 0 };
  const joined = connectionCount(config);
  return {
    tensors: 3 + layers * (2 + attended.tensors + 2 * joined.tensors) + dense * 3 + (layers - dense) * mixed.tensors,
    numbers:
      2 * V * C +
      C +
      layers * (2 * C + attended.numbers + 2 * joined.numbers) +
      dense * 3 * C * hidden +
      (layers - dense) * mixed.numbers,
  };
}

function connectionCount({ connection, width: C }: ModelConfig): ReturnType<typeof countTensors> {
  if (isMixed(connection) || (connection.kind !== "mhc" && connection.kind !== "hc")) return { tensors: 0, numbers: 0 };
  const n = connection.streams;
  const projected = connection.kind === "mhc" ? (n * n + 2 * n) * n * C : (n + 2) * C;
  const dynamic = connection.kind === "mhc" || connection.dynamic !== false;
  return { tensors: dynamic ? 3 : 1, numbers: n * n + 2 * n + (dynamic ? projected + 3 : 0) };
}

function latentCount(C: number, H: number, latent: LatentAttentionConfig): ReturnType<typeof countTensors> {
  const { rank, queryRank, rotarySize: R, contentSize: K, valueSize: V } = latent;
  const query = H * (R + K);
  const queries = queryRank === undefined ? C * query : queryRank * (C + 1 + query);
  return {
    tensors: 4 + (queryRank === undefined ? 1 : 3),
    numbers: queries + C * (rank + R) + rank + rank * H * (K + V) + H * V * C,
  };
}

function attention({ width, heads, kvHeads }: ModelConfig, theirs: string, ours: string): TensorView[] {
  const size = width / heads;
  const total = (heads + 2 * kvHeads) * size;
  const part = (name: string, count: number, from: number): TensorView =>
    linear(`${theirs}.${name}.weight`, `${ours}.qkv`, {
      inputs: width,
      total,
      columns: range(count * size, from * size),
    });
  return [
    part("q_proj", heads, 0),
    part("k_proj", kvHeads, heads),
    part("v_proj", kvHeads, heads + kvHeads),
    linear(`${theirs}.o_proj.weight`, `${ours}.output`, { inputs: width, total: width }),
  ];
}

function latentAttention(
  { width, heads, attention: latent }: ModelConfig,
  theirs: string,
  ours: string,
  interleaved: boolean,
): TensorView[] {
  const { rank, queryRank, rotarySize: R, contentSize: K, valueSize: V } = latent!;
  // Their columns 2i and 2i + 1 are our i and i + R/2.
  const turned = range(R).map((j) => (interleaved ? (j >> 1) + (j % 2) * (R / 2) : j));
  const queryColumns = range(heads).flatMap((head) =>
    [...range(K, R), ...turned].map((column) => head * (R + K) + column),
  );
  const matrix = (name: string, source: string, inputs: number, total: number, columns = range(total)): TensorView =>
    linear(`${theirs}.${name}.weight`, `${ours}.${source}`, { inputs, total, columns });
  const norm = (name: string, source: string, size: number): TensorView =>
    vector(`${theirs}.${name}.weight`, `${ours}.${source}`, range(size));
  const query =
    queryRank === undefined
      ? [matrix("q_proj", "query", width, heads * (R + K), queryColumns)]
      : [
          matrix("q_a_proj", "queryDown", width, queryRank),
          norm("q_a_layernorm", "queryNorm", queryRank),
          matrix("q_b_proj", "queryUp", queryRank, heads * (R + K), queryColumns),
        ];
  const downColumns = [...range(rank), ...turned.map((column) => rank + column)];
  return [
    ...query,
    matrix("kv_a_proj_with_mqa", "latentDown", width, rank + R, downColumns),
    norm("kv_a_layernorm", "latentNorm", rank),
    matrix("kv_b_proj", "latentUp", rank, heads * (K + V)),
    matrix("o_proj", "output", heads * V, width),
  ];
}

/** gate_proj, up_proj and down_proj of one SwiGLU: the only one, or one of several experts. */
function swiglu(theirs: string, ours: string, width: number, hidden: number, index = 0): TensorView[] {
  const half = (name: string, from: number): TensorView =>
    linear(`${theirs}.${name}.weight`, `${ours}.gateUp`, {
      inputs: width,
      total: 2 * hidden,
      columns: range(hidden, from),
      base: index * width * 2 * hidden,
    });
  const down = { inputs: hidden, total: width, base: index * hidden * width };
  return [half("gate_proj", 0), half("up_proj", hidden), linear(`${theirs}.down_proj.weight`, `${ours}.down`, down)];
}

function feedForward(config: ModelConfig, layer: number, theirs: string, ours: string): TensorView[] {
  const { width, hidden } = config;
  const mixture = mixtureOf(config, layer);
  if (!mixture) return swiglu(theirs, ours, width, hidden);
  const { experts, shared, hidden: inner } = mixture;
  return [
    linear(`${theirs}.gate.weight`, `${ours}.router`, { inputs: width, total: experts }),
    vector(`${theirs}.gate.e_score_correction_bias`, `${ours}.routerBias`, range(experts)),
    ...range(experts).flatMap((expert) =>
      swiglu(`${theirs}.experts.${expert}`, `${ours}.experts`, width, inner, expert),
    ),
    ...(shared > 0 ? swiglu(`${theirs}.shared_experts`, `${ours}.shared`, width, shared * inner) : []),
  ];
}

/** The checkpoint's names for a sublayer's connection; theta, which only HC has, uses the name of mHC's phi. */
const connectionName = (connection: string, part: string): string =>
  connectionTensorName("transformers", connection, part === "theta" ? "phi" : part);

function connectionTensors(connection: ConnectionConfig, width: number, theirs: string, ours: string): TensorView[] {
  const name = (part: string): string => connectionName(`${theirs}.connection`, part);
  const source = (part: string): string => `${ours}.connection.${part}`;
  if (connection.kind === "hc") {
    const { streams: n, dynamic = true } = connection;
    const bias = vector(name("bias"), source("bias"), range(n * n + 2 * n));
    return dynamic
      ? [
          rows(name("theta"), source("theta"), width, range(n + 2)),
          vector(name("alpha"), source("alpha"), range(3)),
          bias,
        ]
      : [bias];
  }
  if (connection.kind !== "mhc") return [];
  const { streams: n, convention = "paper" } = connection;
  const transposed = (m: number): number =>
    m < 2 * n ? m : 2 * n + ((m - 2 * n) % n) * n + Math.floor((m - 2 * n) / n);
  const all = range(n * n + 2 * n);
  const order = convention === "paper" ? all.map(transposed) : all;
  return [
    rows(name("phi"), source("phi"), n * width, order),
    vector(name("alpha"), source("alpha"), range(3)),
    vector(name("bias"), source("bias"), order),
  ];
}

/** A learned end; the mean and the sum have no tensors. */
function endingTensors(connection: ConnectionConfig, width: number): TensorView[] {
  if (connection.kind !== "mhc") return [];
  const { streams: n, convention = "paper", collapse } = connection;
  if (collapse !== "learned" && convention === "paper") return [];
  const name = (part: string): string => connectionName("model.ending", part);
  return [
    rows(name("phi"), "ending.phi", n * width, range(n)),
    vector(name("alpha"), "ending.alpha", [0]),
    vector(name("bias"), "ending.bias", range(n)),
  ];
}
