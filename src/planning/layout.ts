// Question: how is a model spread over GPUs?
//
// Pipeline: the layers are cut into P stages. Data: each stage is there D = GPUs / P times, each time for
// other sequences. Expert: E of those D share the routed experts of the stage among them (E divides D), as in
// DeepSeek-V3 (arXiv 2412.19437); everything else is on all of them. Optimizer states are shared among
// all copies of what they belong to (ZeRO-1, arXiv 1910.02054), unless asked otherwise.

import { divisors } from "../basics/numbers.ts";
import { showList } from "../basics/show.ts";
import { expertLayers, type PlannedModel } from "./architecture.ts";

/** The most GPUs, stages and the like that are planned for; ways to cut them are found by their divisors. */
export const MOST_GPUS: number = 2 ** 31 - 1;

/** How a model is spread over GPUs; see the head of this file. */
export interface Layout {
  readonly gpus: number;
  /** P. */
  readonly pipeline: number;
  /** E. */
  readonly expert: number;
  /** Whether copies share the optimizer's states among them. */
  readonly sharded: boolean;
  /** Sequences of a micro-batch, on one GPU. */
  readonly microBatch: number;
}

/** What is known of a layout before P and E are chosen; those given are kept. */
export type LayoutWishes = Pick<Layout, "gpus" | "sharded" | "microBatch"> &
  Partial<Pick<Layout, "pipeline" | "expert">>;

/** What one stage of the pipeline holds. */
export interface Stage {
  readonly index: number;
  /** Layers of it, and how many of them have experts. */
  readonly layers: number;
  readonly expertLayers: number;
  readonly first: boolean;
  readonly last: boolean;
  /** Micro-batches whose activations it holds at most, under 1F1B. */
  readonly inFlight: number;
}

/** D: copies of each stage. */
export function dataParallel({ gpus, pipeline }: Layout): number {
  return gpus / pipeline;
}

/**
 * @throws RangeError when the sizes do not fit each other or the model, with what would
 */
export function checkLayout(layout: Layout, model: PlannedModel): void {
  const { gpus, pipeline, expert, microBatch } = layout;
  for (const [name, value] of Object.entries({ gpus, pipeline, expert, microBatch }))
    if (!Number.isInteger(value) || value < 1 || value > MOST_GPUS)
      throw new RangeError(`${name} is ${value}; it must be a whole number from 1 to ${MOST_GPUS}.`);
  if (gpus % pipeline !== 0)
    throw new RangeError(
      `${gpus} GPUs cannot be cut into ${pipeline} stages; pipeline can be ${showList(divisors(gpus))}.`,
    );
  if (pipeline > model.layers)
    throw new RangeError(
      `pipeline is ${pipeline}, but the model has ${model.layers} layers; use at most as many stages.`,
    );
  const allowed = expertSizes(model, dataParallel(layout));
  if (!allowed.includes(expert))
    throw new RangeError(
      `expert is ${expert}; with ${dataParallel(layout)} copies of each stage and this model's experts it can be ${showList(allowed)}.`,
    );
}

/** E that divide both the copies of a stage and, where their number is public, the routed experts. */
function expertSizes(model: PlannedModel, copies: number): number[] {
  if (model.known === "totals") return divisors(copies);
  if (model.feedForward.kind === "dense") return [1];
  const { routed } = model.feedForward;
  return divisors(copies).filter((size) => routed % size === 0);
}

/** Every way to cut a pipeline and share experts on so many GPUs, fewest stages first, then least sharing. */
export function possibleLayouts(model: PlannedModel, fixed: LayoutWishes): Layout[] {
  const pipelines =
    fixed.pipeline === undefined ? divisors(fixed.gpus).filter((p) => p <= model.layers) : [fixed.pipeline];
  return pipelines.flatMap((pipeline) => {
    const experts = expertSizes(model, fixed.gpus / pipeline).filter((size) => size === (fixed.expert ?? size));
    return experts.map((expert) => ({ ...fixed, pipeline, expert }));
  });
}

/** Layers as evenly as they go, the first stages having one more where they do not. */
export function stagesOf(model: PlannedModel, { pipeline }: Layout): Stage[] {
  const dense = model.known === "shapes" ? model.layers - expertLayers(model) : 0;
  let before = 0;
  return Array.from({ length: pipeline }, (_, index) => {
    const layers = Math.floor(model.layers / pipeline) + (index < model.layers % pipeline ? 1 : 0);
    const denseHere = Math.min(layers, Math.max(0, dense - before));
    before += layers;
    return {
      index,
      layers,
      expertLayers: layers - denseHere,
      first: index === 0,
      last: index === pipeline - 1,
      inFlight: pipeline - index,
    };
  });
}
