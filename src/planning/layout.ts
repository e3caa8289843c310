// Question: how is a model spread over GPUs?
//
//   pipeline P     the layers are cut into P stages
//   tensor T       heads, the feed-forward's columns and the vocabulary are cut into T parts (Megatron-LM, arXiv
//                  1909.08053); between them the tokens are (sequence parallelism, arXiv 2205.05198)
//   context S      the tokens of a sequence are cut into S parts; keys and values go round in a ring (arXiv 2310.01889)
//   data D         what is left: each stage is there D = GPUs / (P T S) times, each time for other sequences
//   expert E       E of a stage's GPUs / P share its routed experts (DeepSeek-V3, arXiv 2412.19437). Routed experts are
//                  not cut by T: ranks of T and S hold other tokens, and count as copies (arXiv 2504.14960)
//
// Copies are D S of what T cuts, and GPUs / (P E) of a routed expert. They share the optimizer's states (ZeRO-1), and
// with ZeRO-2 also the gradients, with ZeRO-3 also the weights (arXiv 1910.02054).
//
// A GPU takes A micro-batches of B sequences one after the other before each update: a batch has A B D sequences.

import { divisors } from "../basics/numbers.ts";
import { showList } from "../basics/show.ts";
import { denseHidden, expertLayers, type PlannedModel } from "./architecture.ts";

/** The most GPUs, stages and the like that are planned for; ways to cut them are found by their divisors. */
export const MOST_GPUS: number = 2 ** 31 - 1;

/** What copies share: 0 nothing, 1 the optimizer's states, 2 also gradients, 3 also weights. */
export type ZeroStage = 0 | 1 | 2 | 3;

/** The stages of ZeRO. */
export const zeroStages: readonly ZeroStage[] = [0, 1, 2, 3];

/** How a model is spread over GPUs; see the head of this file. */
export interface Layout {
  readonly gpus: number;
  /** P. */
  readonly pipeline: number;
  /** E. */
  readonly expert: number;
  /** T. */
  readonly tensor: number;
  /** S. */
  readonly contextParallel: number;
  readonly zero: ZeroStage;
  /** B: sequences of a micro-batch, on one GPU. */
  readonly microBatch: number;
  /** A: micro-batches of a batch, on one GPU. */
  readonly accumulate: number;
}

/** What is known of a layout before P, E and A are chosen; those given are kept. */
export type LayoutWishes = Pick<Layout, "gpus" | "zero" | "microBatch"> &
  Partial<Pick<Layout, "pipeline" | "expert" | "tensor" | "contextParallel" | "accumulate">> & {
    /** Sequences of a batch, on all GPUs. */
    readonly batch?: number;
    /** The same, where it need not come out exactly: A is rounded up. */
    readonly usualBatch?: number;
  };

/** What one stage of the pipeline holds. */
export interface Stage {
  readonly index: number;
  /** The first of its layers, how many they are, and how many of them have experts. */
  readonly firstLayer: number;
  readonly layers: number;
  readonly expertLayers: number;
  readonly first: boolean;
  readonly last: boolean;
  /** Micro-batches whose activations it holds at most, under 1F1B. */
  readonly inFlight: number;
}

/** D: copies of each stage that take other sequences. */
export function dataParallel({ gpus, pipeline, tensor, contextParallel }: Layout): number {
  return gpus / (pipeline * tensor * contextParallel);
}

/** D S: GPUs that hold the same part of what is not an expert. */
export function sharingCopies(layout: Layout): number {
  return dataParallel(layout) * layout.contextParallel;
}

/** GPUs / (P E): GPUs that hold the same routed experts. */
export function expertCopies({ gpus, pipeline, expert }: Layout): number {
  return gpus / pipeline / expert;
}

/** Tokens of a micro-batch that one GPU holds, between the sublayers. */
export function localTokens({ microBatch, contextParallel, tensor }: Layout, { context }: PlannedModel): number {
  return (microBatch * context) / (contextParallel * tensor);
}

/** A B D: sequences of a batch. */
export function batchOf(layout: Layout): number {
  return layout.accumulate * layout.microBatch * dataParallel(layout);
}

/**
 * @throws RangeError when the sizes do not fit each other or the model, with what would
 */
export function checkLayout(layout: Layout, model: PlannedModel): void {
  const { gpus, pipeline, expert, tensor, contextParallel, microBatch, accumulate, zero } = layout;
  const sizes = { gpus, pipeline, expert, tensor, contextParallel, microBatch, accumulate };
  for (const [name, value] of Object.entries(sizes))
    if (!Number.isInteger(value) || value < 1 || value > MOST_GPUS)
      throw new RangeError(`${name} is ${value}; it must be a whole number from 1 to ${MOST_GPUS}.`);
  if (!zeroStages.includes(zero)) throw new RangeError(`zero is ${zero}; it must be one of ${showList(zeroStages)}.`);
  const parts = tensorSizes(model).filter((size) => gpus % size === 0);
  if (!parts.includes(tensor))
    throw new RangeError(
      `tensor is ${tensor}; with ${gpus} GPUs and ${cutBy(model)} it can be ${showList(parts)}. Give one of these.`,
    );
  const rings = contextSizes(model).filter((size) => (gpus / tensor) % size === 0);
  if (!rings.includes(contextParallel))
    throw new RangeError(
      `contextParallel is ${contextParallel}; with ${gpus / tensor} GPUs and sequences of ${model.context} tokens, of which each GPU takes two equal pieces, it can be ${showList(rings)}. Give one of these.`,
    );
  const groups = gpus / (tensor * contextParallel);
  if (groups % pipeline !== 0)
    throw new RangeError(
      `${groups === gpus ? `${gpus} GPUs` : `${gpus} GPUs in ${groups} groups of ${tensor * contextParallel}`} cannot be cut into ${pipeline} stages; pipeline can be ${showList(divisors(groups))}.`,
    );
  if (pipeline > model.layers)
    throw new RangeError(
      `pipeline is ${pipeline}, but the model has ${model.layers} layers; use at most as many stages.`,
    );
  const allowed = expertSizes(model, gpus / pipeline);
  if (!allowed.includes(expert))
    throw new RangeError(
      `expert is ${expert}; with ${gpus / pipeline} ${groups === gpus ? "copies" : "GPUs"} of each stage and this model's experts it can be ${showList(allowed)}.`,
    );
}

/** T that divide the heads and the columns of the feed-forward; 1 where these are not public. */
function tensorSizes(model: PlannedModel): number[] {
  if (model.known === "totals") return [1];
  const { attention, feedForward } = model;
  const { heads } = attention;
  const kvHeads = attention.kind === "grouped" ? attention.kvHeads : heads;
  const shared = feedForward.kind === "experts" ? feedForward.shared * feedForward.hidden : 0;
  return divisors(heads).filter((size) => [kvHeads, denseHidden(model), shared].every((whole) => whole % size === 0));
}

function cutBy(model: PlannedModel): string {
  if (model.known === "totals") return `a model whose heads are not public`;
  const { attention } = model;
  const kv = attention.kind === "grouped" ? ` (${attention.kvHeads} of keys and values)` : "";
  return `this model's ${attention.heads} heads${kv} and feed-forward of ${denseHidden(model)} columns`;
}

/** S that cut a sequence into 2 S pieces: a GPU takes an early and a late one, so that all have as many scores. */
function contextSizes(model: PlannedModel): number[] {
  if (model.known === "totals") return [1];
  return [1, ...divisors(Math.floor(model.context)).filter((size) => size > 1 && model.context % (2 * size) === 0)];
}

/** E that divide both the GPUs of a stage and, where their number is public, the routed experts. */
function expertSizes(model: PlannedModel, copies: number): number[] {
  if (model.known === "totals") return divisors(copies);
  if (model.feedForward.kind === "dense") return [1];
  const { routed } = model.feedForward;
  return divisors(copies).filter((size) => routed % size === 0);
}

/** Every way to cut a pipeline and share experts on so many GPUs, fewest stages first, then least sharing. */
export function possibleLayouts(model: PlannedModel, fixed: LayoutWishes): Layout[] {
  const { gpus, zero, microBatch, tensor = 1, contextParallel = 1 } = fixed;
  const groups = gpus / (tensor * contextParallel);
  const pipelines = fixed.pipeline === undefined ? divisors(groups).filter((p) => p <= model.layers) : [fixed.pipeline];
  return pipelines.flatMap((pipeline) => {
    const accumulate = accumulation(fixed, groups / pipeline, pipeline);
    const experts = expertSizes(model, gpus / pipeline).filter((size) => size === (fixed.expert ?? size));
    return experts.map((expert) => ({
      gpus,
      pipeline,
      expert,
      tensor,
      contextParallel,
      zero,
      microBatch,
      accumulate,
    }));
  });
}

/** A; without any wish as many as fill the pipeline. What a batch needs on one stage it needs P times on P. */
function accumulation(
  { accumulate, batch, usualBatch, microBatch }: LayoutWishes,
  data: number,
  pipeline: number,
): number {
  if (accumulate !== undefined) return accumulate;
  const wished = batch ?? usualBatch;
  return wished === undefined ? pipeline : Math.ceil(wished / (data * microBatch));
}

/**
 * Throw for wishes that no layout can have.
 *
 * @throws RangeError with what is allowed
 */
export function checkWishes(wishes: LayoutWishes, model: PlannedModel): void {
  const {
    gpus,
    zero,
    microBatch,
    pipeline = 1,
    expert = 1,
    tensor = 1,
    contextParallel = 1,
    accumulate = 1,
    batch,
  } = wishes;
  const layout = { gpus, zero, microBatch, pipeline, expert, tensor, contextParallel, accumulate };
  checkLayout(layout, model);
  if (batch !== undefined && (!Number.isInteger(batch) || batch < 1 || batch > MOST_GPUS))
    throw new RangeError(`batch is ${batch}; it must be a whole number from 1 to ${MOST_GPUS}.`);
}

/**
 * Throw unless a layout makes the batch that was asked for.
 *
 * @throws RangeError with the nearest that it makes
 */
export function checkBatch({ batch, accumulate, pipeline: asked }: LayoutWishes, layout: Layout): void {
  if (batch === undefined || batchOf(layout) === batch) return;
  const { microBatch, pipeline } = layout;
  const data = dataParallel(layout);
  const once = data * microBatch * (accumulate ?? 1);
  const below = Math.floor(batch / once) * once;
  const near = accumulate === undefined ? [below, below + once].filter((size) => size > 0) : [once];
  const stages = pipeline === 1 ? "" : ` of ${pipeline} stages`;
  const takes = `${data} ${data === 1 ? "copy" : "copies"}${stages} ${data === 1 ? "takes" : "take"} ${accumulate === undefined ? "" : `${accumulate} times `}${microBatch} at a time`;
  throw new RangeError(
    `batch is ${batch}; ${takes}, so it can be ${showList(near)}${accumulate === undefined ? `, or another multiple of ${once}` : ""}. Give one of these, or other microBatch${asked === undefined ? ", pipeline" : ""} or gpus.`,
  );
}

/** Layers as evenly as they go, the first stages having one more where they do not. */
export function stagesOf(model: PlannedModel, { pipeline, accumulate }: Layout): Stage[] {
  const dense = model.known === "shapes" ? model.layers - expertLayers(model) : 0;
  let before = 0;
  return Array.from({ length: pipeline }, (_, index) => {
    const layers = Math.floor(model.layers / pipeline) + (index < model.layers % pipeline ? 1 : 0);
    const denseHere = Math.min(layers, Math.max(0, dense - before));
    const firstLayer = before;
    before += layers;
    return {
      index,
      firstLayer,
      layers,
      expertLayers: layers - denseHere,
      first: index === 0,
      last: index === pipeline - 1,
      inFlight: Math.min(pipeline - index, accumulate),
    };
  });
}
