// Question: how many floating-point operations does a token cost?
//
// A weight that a token uses costs one multiplication and one addition. Causal attention costs, for a token
// that sees (T + 1)/2 others on average, the product of its query with their keys and the sum of their
// values: 2 H (d_qk + d_v) (T + 1)/2 a layer. The connection of a sublayer, with M = n² + 2n:
//
//   projection and its norm   2 nC M + 2 nC
//   affine, sigmoids, Sinkhorn   M (12 + 4 t_max), as the operation itself counts them
//   read                      2 nC
//   write                     2 nC (n + 1)
//
// Of maps that a sublayer does not learn there is nothing to project, and of none no norm either; reading and writing cost
// the same, for the fixed maps stand in the same coefficients.
//
// Training costs three times the forward pass: the backward pass computes a gradient for each factor of a
// product. Norms, rotary angles and activations of the blocks are left out, as is usual; they cost memory
// traffic, not operations.

import { expectPlannedModel } from "./check-model.ts";
import { learnedMaps, type LearnedMapsName } from "../connections/learned-maps.ts";
import { sinkhornFlops } from "../ops/sinkhorn.ts";
import {
  type Architecture,
  type ConnectionShape,
  mapRows,
  type PlannedModel,
  sublayerMaps,
  valueSizeOf,
} from "./architecture.ts";
import { countParameters } from "./parameters.ts";

export const flopParts = ["head", "attention", "attentionScores", "feedForward", "router", "connection"] as const;
/** A part of a model, as operations are counted. */
export type FlopPart = (typeof flopParts)[number] | "unspecified";

/** Floating-point operations of one token, by part. */
export interface FlopCount {
  /** A token's forward pass; "unspecified" stands for all blocks of a model whose shapes are not public. */
  readonly parts: Readonly<Partial<Record<FlopPart, number>>> & { readonly connection: number };
  readonly forward: number;
  /** Forward and backward. */
  readonly training: number;
  /** Of the same model with plain residuals. */
  readonly baseline: { readonly forward: number; readonly training: number };
}

/** Backward takes two products where forward takes one. */
export const TRAINING_FACTOR = 3;

/** The connection's operations in one sublayer that learns these maps, for one token, by step. */
export function connectionFlops(
  { streams, iterations }: ConnectionShape,
  width: number,
  maps: LearnedMapsName = "all",
): { readonly projection: number; readonly coefficients: number; readonly read: number; readonly write: number } {
  const [all, { rows }] = [streams * width, mapRows(streams, maps)];
  return {
    projection: rows === 0 ? 0 : 2 * all * rows + 2 * all,
    coefficients: rows * (2 + sinkhornFlops(learnedMaps(maps).res ? iterations : 0)),
    read: 2 * all,
    write: 2 * all * (streams + 1),
  };
}

/** Scores and sums of causal attention in one layer, for one token on average. */
export function attentionScoreFlops({ attention, context }: Architecture): number {
  const { heads, headSize } = attention;
  const keySize = attention.kind === "latent" ? headSize + attention.rotarySize : headSize;
  return heads * (keySize + valueSizeOf(attention)) * (context + 1);
}

/** Operations of a token in a model with mHC, and in the same model without. */
export function countFlops(model: PlannedModel): FlopCount {
  expectPlannedModel("countFlops", model);
  const connection = sublayerMaps(model)
    .map((maps) => connectionFlops(model.connection, model.width, maps))
    .reduce((sum, { projection, coefficients, read, write }) => sum + projection + coefficients + read + write, 0);
  const blocks = model.known === "shapes" ? blockFlops(model) : { unspecified: publishedFlops(model) };
  const baseline = Object.values(blocks).reduce((sum, flops) => sum + flops, 0);
  const forward = baseline + connection;
  return {
    parts: { ...blocks, connection },
    forward,
    training: TRAINING_FACTOR * forward,
    baseline: { forward: baseline, training: TRAINING_FACTOR * baseline },
  };
}

/** Two operations for each active weight but the connection's; how attention's scores grow is not public. */
function publishedFlops(model: PlannedModel): number {
  const { active, parts } = countParameters(model);
  return 2 * (active - parts.connection.active);
}

function blockFlops(model: Architecture): Record<Exclude<(typeof flopParts)[number], "connection">, number> {
  const { parts } = countParameters(model);
  return {
    head: 2 * parts.embedding!.active,
    attention: 2 * parts.attention!.active,
    attentionScores: model.layers * attentionScoreFlops(model),
    feedForward: 2 * parts.feedForward!.active,
    router: 2 * parts.router!.active,
  };
}
