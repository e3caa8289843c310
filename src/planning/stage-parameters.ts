// Question: which parameters does a GPU of a stage compute with?
//
//   cut by T       attention's matrices by heads, the dense and shared feed-forward, embedding, output matrix
//   whole          the matrices down to attention's latents, norms, the router, and the connection
//   routed experts those of its layers, over E

import { denseHidden, type PlannedModel, sublayerMaps } from "./architecture.ts";
import type { Layout, Stage } from "./layout.ts";
import { attentionParts, connectionsParameters, countParameters, latentNorms, swigluParameters } from "./parameters.ts";

/** Parameters of one GPU of a stage, before copies share any of them. */
export interface StageParameters {
  /** What is neither a routed expert nor the connection. */
  readonly common: number;
  /** Routed experts. */
  readonly experts: number;
  readonly connection: number;
  /** The most that is needed at a time, of a layer or an end, without the connection. */
  readonly unit: number;
}

/** What a GPU of a stage computes with. */
export function stageParameters(
  model: PlannedModel,
  { tensor, expert }: Layout,
  stage: Stage,
  connected: boolean,
): StageParameters {
  const { width, connection: shape } = model;
  const connection = connected ? connectionsParameters(shape.streams, width, sublayerMaps(model, stage)) : 0;
  if (model.known === "totals") {
    // The weights that a token does not use must be experts; all others lie on every GPU. All layers are alike.
    const { total, active, parts } = countParameters(model);
    const share = stage.layers / model.layers;
    const common = (active - parts.connection.total) * share;
    const experts = ((total - active) * share) / expert;
    return { common, experts, connection, unit: (common + experts) / stage.layers };
  }
  const { vocabulary, feedForward } = model;
  const { byHeads, latents } = attentionParts(model);
  const attention = byHeads / tensor + latents + 2 * width + latentNorms(model);
  const denseLayers = stage.layers - stage.expertLayers;
  const dense = swigluParameters(width, denseHidden(model)) / tensor;
  const end = (vocabulary * width) / tensor;
  const { first, last } = stage;
  const ends = first && last && model.tied ? end + width : (first ? end : 0) + (last ? end + width : 0);
  const denseLayer = denseLayers > 0 ? attention + dense : 0;
  const largestEnd = first || last ? end : 0;
  const common = stage.layers * attention + denseLayers * dense + ends;
  if (feedForward.kind === "dense") return { common, experts: 0, connection, unit: Math.max(denseLayer, largestEnd) };
  const { routed, shared, hidden } = feedForward;
  const one = swigluParameters(width, hidden);
  const beside = (shared * one) / tensor + width * routed;
  const experts = (routed * one) / expert;
  const expertLayer = stage.expertLayers > 0 ? attention + beside + experts : 0;
  return {
    common: common + stage.expertLayers * beside,
    experts: stage.expertLayers * experts,
    connection,
    unit: Math.max(denseLayer, expertLayer, largestEnd),
  };
}
