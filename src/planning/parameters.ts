// Question: how many parameters has a model, in which parts, and how many of them does a token use?
//
//   embedding    2 V C, input and output apart, V C where they are tied; a token's forward pass multiplies by the
//                output's only
//   attention    grouped: C (H + 2 H_kv) d + H d C
//                latent:  C H (d + r) for the queries, or C q + q H (d + r) through a latent of rank q; C (k + r)
//                         down to the latent of rank k and the shared rotary key of size r, k H (d + v) up to keys
//                         and values of size v (d unless it is said), H v C out
//   feed-forward 3 C F for each SwiGLU of inner width F; of routed experts a token uses the active ones
//   router       C a routed expert, in each layer with experts
//   norms        C a sublayer and once at the end; the latents' own, k and q a layer
//   connection   (n² + 2n)(nC + 1) + 3 a sublayer: φ, biases and three α (mHC, arXiv 2512.24880, Eq. 10-16); of maps
//                that a sublayer does not learn, nothing
//
// So counted, all digits of the paper's Table 5 come out, for the model with mHC.

import type { LearnedMapsName } from "../connections/learned-maps.ts";
import { expectPlannedModel } from "./check-model.ts";
import {
  type Architecture,
  mapRows,
  denseHidden,
  expertLayers,
  type PlannedModel,
  sublayerCount,
  sublayerMaps,
  valueSizeOf,
} from "./architecture.ts";

/** Parameters of one part. */
export interface PartCount {
  readonly total: number;
  /** What the forward pass of one token uses. */
  readonly active: number;
}

export const modelParts = ["embedding", "attention", "feedForward", "router", "norms", "connection"] as const;
/** A part of a model, as parameters are counted. */
export type ModelPart = (typeof modelParts)[number];

/** Parameters of a model with mHC, by part. */
export interface ParameterCount {
  /** Undefined where the shapes are not public; the connection's is always there. */
  readonly parts: Readonly<Partial<Record<ModelPart, PartCount>>> & { readonly connection: PartCount };
  readonly total: number;
  readonly active: number;
  /** The connection's part of the total. */
  readonly connectionShare: number;
}

/**
 * Parameters of the connection of one sublayer: (n² + 2n)(nC + 1) + 3 where it learns all three maps.
 *
 * @param maps which it learns. Default "all"
 */
export function connectionParameters(streams: number, width: number, maps: LearnedMapsName = "all"): number {
  const { rows, groups } = mapRows(streams, maps);
  return rows * (streams * width + 1) + groups;
}

/** Parameters of the connections of sublayers that learn these maps. */
export function connectionsParameters(streams: number, width: number, all: readonly LearnedMapsName[]): number {
  return all.reduce((sum, maps) => sum + connectionParameters(streams, width, maps), 0);
}

/** Weights that attention multiplies with, in one layer. */
export function attentionParameters(model: Architecture): number {
  const { byHeads, latents } = attentionParts(model);
  return byHeads + latents;
}

/** The same in two parts: matrices with rows or columns for each head, and those down to latents, which have none. */
export function attentionParts({ width, attention }: Architecture): {
  readonly byHeads: number;
  readonly latents: number;
} {
  const { heads, headSize } = attention;
  const out = heads * valueSizeOf(attention) * width;
  if (attention.kind === "grouped")
    return { byHeads: width * (heads + 2 * attention.kvHeads) * headSize + out, latents: 0 };
  const { rotarySize, rank, queryRank } = attention;
  const queries = (queryRank ?? width) * heads * (headSize + rotarySize);
  const keysAndValues = rank * heads * (headSize + valueSizeOf(attention));
  return { byHeads: queries + keysAndValues + out, latents: width * (rank + rotarySize + (queryRank ?? 0)) };
}

/** Weights of the norms of the latents, in one layer. */
export function latentNorms({ attention }: Architecture): number {
  return attention.kind === "latent" ? attention.rank + (attention.queryRank ?? 0) : 0;
}

/** One SwiGLU: gate, up and down. */
export function swigluParameters(width: number, hidden: number): number {
  return 3 * width * hidden;
}

/** Parameters by part of a model with mHC; the baseline with plain residuals has all but the connection. */
export function countParameters(model: PlannedModel): ParameterCount {
  expectPlannedModel("countParameters", model);
  const own = connectionsParameters(model.connection.streams, model.width, sublayerMaps(model));
  const connection = { total: own, active: own };
  if (model.known === "totals") {
    const { total, active } = model;
    return { parts: { connection }, total, active, connectionShare: own / total };
  }
  const parts = { ...blockParts(model), connection };
  const sum = (of: keyof PartCount): number => Object.values(parts).reduce((total, part) => total + part[of], 0);
  const total = sum("total");
  return { parts, total, active: sum("active"), connectionShare: own / total };
}

function blockParts(model: Architecture): Record<Exclude<ModelPart, "connection">, PartCount> {
  const { vocabulary, width, layers, feedForward } = model;
  const both = (count: number): PartCount => ({ total: count, active: count });
  const sparse = expertLayers(model);
  const dense = (layers - sparse) * swigluParameters(width, denseHidden(model));
  const experts = feedForward.kind === "experts" ? feedForward : { hidden: 0, routed: 0, active: 0, shared: 0 };
  const expert = sparse * swigluParameters(width, experts.hidden);
  return {
    embedding: { total: (model.tied ? 1 : 2) * vocabulary * width, active: vocabulary * width },
    attention: both(layers * attentionParameters(model)),
    feedForward: {
      total: dense + (experts.routed + experts.shared) * expert,
      active: dense + (experts.active + experts.shared) * expert,
    },
    router: both(sparse * width * experts.routed),
    norms: both((sublayerCount(model) + 1) * width + layers * latentNorms(model)),
  };
}
