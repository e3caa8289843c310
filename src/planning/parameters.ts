// Question: how many parameters has a model, in which parts, and how many of them does a token use?
//
//   embedding    2 V C, input and output apart; a token's forward pass multiplies by the output's only
//   attention    grouped: C (H + 2 H_kv) d + H d C
//                latent:  C H (d + r) for the queries, C (k + r) down to the latent of rank k and the shared
//                         rotary key of size r, k · 2 H d up to keys and values, H d C out
//   feed-forward 3 C F for each SwiGLU of inner width F; of routed experts a token uses the active ones
//   router       C a routed expert, in each layer with experts
//   norms        C a sublayer and once at the end; the latent's own, k a layer
//   connection   (n² + 2n)(nC + 1) + 3 a sublayer: φ, biases and three α (mHC, arXiv 2512.24880, Eq. 10-16)
//
// So counted, all digits of the paper's Table 5 come out, for the model with mHC.

import { expectPlannedModel } from "./check-model.ts";
import {
  type Architecture,
  coefficientCount,
  denseHidden,
  expertLayers,
  type PlannedModel,
  sublayerCount,
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

/** Parameters of the connection of one sublayer: (n² + 2n)(nC + 1) + 3. */
export function connectionParameters(streams: number, width: number): number {
  return coefficientCount(streams) * (streams * width + 1) + 3;
}

/** Weights that attention multiplies with, in one layer. */
export function attentionParameters({ width, attention }: Architecture): number {
  if (attention.kind === "grouped") {
    const { heads, kvHeads, headSize } = attention;
    return width * (heads + 2 * kvHeads) * headSize + heads * headSize * width;
  }
  const { heads, headSize, rotarySize, rank } = attention;
  const queries = width * heads * (headSize + rotarySize);
  const latent = width * (rank + rotarySize);
  const keysAndValues = rank * heads * 2 * headSize;
  return queries + latent + keysAndValues + heads * headSize * width;
}

/** One SwiGLU: gate, up and down. */
export function swigluParameters(width: number, hidden: number): number {
  return 3 * width * hidden;
}

/** Parameters by part of a model with mHC; the baseline with plain residuals has all but the connection. */
export function countParameters(model: PlannedModel): ParameterCount {
  expectPlannedModel("countParameters", model);
  const own = sublayerCount(model) * connectionParameters(model.connection.streams, model.width);
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
  const { vocabulary, width, layers, attention, feedForward } = model;
  const both = (count: number): PartCount => ({ total: count, active: count });
  const latentNorm = attention.kind === "latent" ? attention.rank : 0;
  const sparse = expertLayers(model);
  const dense = (layers - sparse) * swigluParameters(width, denseHidden(model));
  const experts = feedForward.kind === "experts" ? feedForward : { hidden: 0, routed: 0, active: 0, shared: 0 };
  const expert = sparse * swigluParameters(width, experts.hidden);
  return {
    embedding: { total: 2 * vocabulary * width, active: vocabulary * width },
    attention: both(layers * attentionParameters(model)),
    feedForward: {
      total: dense + (experts.routed + experts.shared) * expert,
      active: dense + (experts.active + experts.shared) * expert,
    },
    router: both(sparse * width * experts.routed),
    norms: both((sublayerCount(model) + 1) * width + layers * latentNorm),
  };
}
