// Question: what must be known of a model to plan its training?
//
// Shapes only, no weights and no graph, so a model of any size can be described. For some models only the
// width, the depth, the connection and the totals are public; they are planned as far as those allow.
//
// Letters of this room: C width, L sublayers (two a layer), n streams, M = n² + 2n coefficients a sublayer,
// V vocabulary, T tokens of a sequence.

import { type LearnedMapsName, learnedMaps } from "../connections/learned-maps.ts";

/** Queries, keys and values of their own for every head, or keys and values shared by groups of heads. */
export interface GroupedAttention {
  readonly kind: "grouped";
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

/** Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434). */
export interface LatentAttention {
  readonly kind: "latent";
  readonly heads: number;
  /** Size of a head's queries and keys without their rotary part, and of its values unless `valueSize` says otherwise. */
  readonly headSize: number;
  /** Size of a head's values. Default `headSize`. */
  readonly valueSize?: number;
  /** Size of the part of queries and keys that carries the position; one key of it serves all heads. */
  readonly rotarySize: number;
  /** Size of the latent that keys and values are made from. */
  readonly rank: number;
  /** Size of the latent that queries are made from; absent, queries have full rank. */
  readonly queryRank?: number;
}

/** One SwiGLU for all tokens. */
export interface DenseFeedForward {
  readonly kind: "dense";
  readonly hidden: number;
}

/** SwiGLU experts: shared ones that every token uses, and routed ones of which each token uses a few. */
export interface ExpertFeedForward {
  readonly kind: "experts";
  /** Inner width of one expert. */
  readonly hidden: number;
  readonly routed: number;
  readonly active: number;
  readonly shared: number;
  /** The first layers have one dense SwiGLU instead. */
  readonly leadingDense: number;
  /** Its inner width. Default: as wide as the experts a token uses. */
  readonly leadingHidden?: number;
}

/** The size of mHC. */
export interface ConnectionShape {
  /** n. */
  readonly streams: number;
  /** Sinkhorn-Knopp iterations. */
  readonly iterations: number;
  /** Which maps each sublayer learns, in order of depth, two a layer. Default: all three everywhere. */
  readonly maps?: readonly LearnedMapsName[];
}

/** How a model was trained, where that is public. */
export interface TrainingShape {
  /** Sequences of a batch. */
  readonly batch: number;
  /** Tokens of each. */
  readonly context: number;
  readonly steps: number;
  readonly learningRate: number;
  readonly warmup: number;
  /** Of AdamW, where the optimizer has them. */
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly weightDecay: number;
}

interface Model {
  readonly name: string;
  readonly width: number;
  readonly layers: number;
  /** Tokens of a sequence. */
  readonly context: number;
  readonly connection: ConnectionShape;
}

/** A model whose shapes are all known. */
export interface Architecture extends Model {
  readonly known: "shapes";
  readonly vocabulary: number;
  readonly attention: GroupedAttention | LatentAttention;
  readonly feedForward: DenseFeedForward | ExpertFeedForward;
  /** Whether the output matrix is the embedding. Default false. */
  readonly tied?: boolean;
  readonly training?: TrainingShape;
}

/** A model whose attention and feed-forward sizes are not public, or do not fit the shapes above. */
export interface PublishedModel extends Model {
  readonly known: "totals";
  /** As published: rounded. */
  readonly total: number;
  readonly active: number;
}

/** Any model that can be planned. */
export type PlannedModel = Architecture | PublishedModel;

/** L: attention and feed-forward of every layer. */
export function sublayerCount({ layers }: Pick<PlannedModel, "layers">): number {
  return 2 * layers;
}

/** M: read, write and mixing coefficients of one token and sublayer. */
export function coefficientCount(streams: number): number {
  return streams ** 2 + 2 * streams;
}

/** Which maps the sublayers of some layers learn, by default of all layers. */
export function sublayerMaps(
  { layers, connection }: Pick<PlannedModel, "layers" | "connection">,
  { firstLayer, layers: count }: { readonly firstLayer: number; readonly layers: number } = { firstLayer: 0, layers },
): readonly LearnedMapsName[] {
  return (
    connection.maps?.slice(2 * firstLayer, 2 * (firstLayer + count)) ??
    Array.from({ length: 2 * count }, (): LearnedMapsName => "all")
  );
}

/** Rows of φ of a sublayer, n for each of pre and post and n² for res; and how many of the three it learns. */
export function mapRows(streams: number, maps: LearnedMapsName): { readonly rows: number; readonly groups: number } {
  const { pre, post, res } = learnedMaps(maps);
  const sizes = [...(pre ? [streams] : []), ...(post ? [streams] : []), ...(res ? [streams ** 2] : [])];
  return { rows: sizes.reduce((sum, size) => sum + size, 0), groups: sizes.length };
}

/** How many layers of a model have experts. */
export function expertLayers({ layers, feedForward }: Architecture): number {
  return feedForward.kind === "experts" ? layers - feedForward.leadingDense : 0;
}

/** Inner width of the feed-forward sublayers without experts. */
export function denseHidden({ feedForward }: Architecture): number {
  return feedForward.kind === "experts" ? (feedForward.leadingHidden ?? usedHidden(feedForward)) : feedForward.hidden;
}

/** Inner width of all experts that a token uses. */
export function usedHidden({ active, shared, hidden }: ExpertFeedForward): number {
  return (active + shared) * hidden;
}

/** Columns of a head's values. */
export function valueSizeOf(attention: GroupedAttention | LatentAttention): number {
  return attention.kind === "latent" ? (attention.valueSize ?? attention.headSize) : attention.headSize;
}
