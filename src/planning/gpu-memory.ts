// Question: how much memory does a training step take on each GPU, by class?
//
// A parameter costs its weight and its gradient, and in the optimizer AdamW's two moments and, where the
// weight is not float32, a float32 copy of it. The connection's parameters are float32 throughout. Where copies share
// gradients (ZeRO-2, 3) or weights (ZeRO-3), a GPU also holds the whole ones of the unit it is at: the largest of its
// layers, the embedding and the output matrix.
//
// Stored for the backward pass, values a token of one sublayer (F gets v, the normalised read):
//
//   attention     latent: queries H(d+r), latents before and after their norms 2k + r (and 2q), keys H d, values and
//                 result 2 H v. Grouped: queries, keys, values (H + 2 H_kv) d, result H d. And in float32
//                 one number a head for the softmax.
//   feed-forward  gate, up and their product: 3 F for each SwiGLU a token uses. With experts also its copies
//                 sent to the routed ones and their results (2C each) and the scores (float32)
//   v             C
//   streams       residual: x, C. mHC: x (nC), read u (C), F's result y (C), coefficients before and after
//                 (2M + 1, float32)
//
// With recomputation (Table 3 of the paper) mHC stores x every L_r sublayers and y; within the one group the
// backward pass is in, (n+2)C a sublayer for x, u and v are there again, and its coefficients. Under 1F1B a
// stage holds what is stored of as many micro-batches as there are stages from it to the end. Each stage
// takes the L_r with the least memory: for one micro-batch in flight, that of Eq. 20,
//
//   f nC ⌈L/L_r⌉ + (n+2)C L_r        L sublayers of the stage, f micro-batches in flight
//
// Tensor and context parallelism divide the tokens between them, and with them all of this; within attention and the
// feed-forward each GPU has its part of the columns of all its group's tokens, which is as much.
//
// The last stage has the logits and their gradient of one micro-batch, float32. Not counted: temporary
// buffers of kernels and communication, fragmentation.

import { expectPlannedModel } from "./check-model.ts";
import { given } from "../basics/given.ts";
import { blockObjective } from "./block-objective.ts";
import {
  type Architecture,
  coefficientCount,
  denseHidden,
  mapRows,
  type PlannedModel,
  sublayerMaps,
  valueSizeOf,
} from "./architecture.ts";
import {
  checkBatch,
  checkLayout,
  checkWishes,
  expertCopies,
  type Layout,
  type LayoutWishes,
  localTokens,
  possibleLayouts,
  sharingCopies,
  type Stage,
  stagesOf,
  type ZeroStage,
} from "./layout.ts";
import { type StageParameters, stageParameters } from "./stage-parameters.ts";

/** Bytes of a value. */
export interface Precision {
  readonly weights: number;
  readonly gradients: number;
  /** The optimizer's own copy of the weights; 0 when there is none. */
  readonly master: number;
  readonly moments: number;
  /** Activations and streams. */
  readonly activations: number;
}

/** A named precision. */
export type PrecisionName = "mixed" | "mixed-bf16-moments" | "float32";

/** Bytes of a value, by name. */
export const precisions: Readonly<Record<PrecisionName, Precision>> = {
  /** Weights and activations bfloat16, gradients and everything in the optimizer float32. */
  mixed: { weights: 2, gradients: 4, master: 4, moments: 4, activations: 2 },
  /** The same with moments in bfloat16, as DeepSeek-V3 was trained (arXiv 2412.19437, 3.3.2). */
  "mixed-bf16-moments": { weights: 2, gradients: 4, master: 4, moments: 2, activations: 2 },
  float32: { weights: 4, gradients: 4, master: 0, moments: 4, activations: 4 },
};

export const memoryClasses = ["weights", "gradients", "optimizer", "activations", "streams"] as const;
/** What memory is used for. */
export type MemoryClass = (typeof memoryClasses)[number];
/** Bytes of each class, on one GPU. */
export type MemoryBytes = Readonly<Record<MemoryClass, number>>;

/** The connection, and whether the streams are computed again. */
export const memoryVariants = ["residual", "stored", "recomputed"] as const;
/** Plain residuals, mHC with everything stored, mHC with streams computed again. */
export type MemoryVariant = (typeof memoryVariants)[number];

/** What each GPU of one stage needs. */
export interface StageMemory {
  readonly stage: Stage;
  /** L_r; undefined where nothing is computed again. */
  readonly storeEvery?: number;
  /** Activations are NaN where the shapes are not public. */
  readonly bytes: MemoryBytes;
  /** Sum over the classes that are known. */
  readonly total: number;
}

/**
 * The memory of every stage of the pipeline, on each of its GPUs.
 *
 * @throws RangeError when the layout does not fit the model
 */
export function stageMemories(
  model: PlannedModel,
  layout: Layout,
  precision: Precision,
  variant: MemoryVariant,
): StageMemory[] {
  expectPlannedModel("stageMemories", model);
  checkLayout(layout, model);
  return stagesOf(model, layout).map((stage) => {
    const states = stateBytes(stageParameters(model, layout, stage, variant !== "residual"), layout, precision);
    const { storeEvery, bytes: streams } = streamBytes(model, layout, precision, stage, variant);
    const bytes = { ...states, activations: activationBytes(model, layout, precision, stage, variant), streams };
    const total = memoryClasses.reduce((sum, name) => sum + (Number.isNaN(bytes[name]) ? 0 : bytes[name]), 0);
    return { stage, bytes, total, ...given({ storeEvery }) };
  });
}

/** The memory of the stage that needs the most. */
export function peakMemory(
  model: PlannedModel,
  layout: Layout,
  precision: Precision,
  variant: MemoryVariant,
): StageMemory {
  return stageMemories(model, layout, precision, variant).reduce((a, b) => (b.total > a.total ? b : a));
}

/** The smallest choice of P and E with which mHC fits when it recomputes; if none fits, the one that needs the least. */
export function chooseLayout(
  model: PlannedModel,
  wishes: LayoutWishes,
  precision: Precision,
  memoryBytes: number,
): { readonly layout: Layout; readonly bytes: number } {
  checkWishes(wishes, model);
  const chosen = smallestLayout(model, wishes, precision, memoryBytes);
  checkBatch(wishes, chosen.layout);
  return chosen;
}

function smallestLayout(
  model: PlannedModel,
  wishes: LayoutWishes,
  precision: Precision,
  memoryBytes: number,
): { readonly layout: Layout; readonly bytes: number } {
  let least: { readonly layout: Layout; readonly bytes: number } | undefined;
  for (const layout of possibleLayouts(model, wishes)) {
    const bytes = peakMemory(model, layout, precision, "recomputed").total;
    if (bytes <= memoryBytes) return { layout, bytes };
    if (!least || bytes < least.bytes) least = { layout, bytes };
  }
  return least!;
}

function stateBytes(
  { common, experts, connection, unit }: StageParameters,
  layout: Layout,
  { weights, gradients, master, moments }: Precision,
): Pick<MemoryBytes, "weights" | "gradients" | "optimizer"> {
  const { zero } = layout;
  const [copies, copiesOfExperts] = [sharingCopies(layout), expertCopies(layout)];
  const held = (bytes: number, from: ZeroStage): number => {
    if (zero < from) return (common + experts) * bytes + connection * 4;
    // Of few copies each has most of it anyway, and one alone has all.
    const own = Math.min(common + experts, common / copies + experts / copiesOfExperts + unit);
    return own * bytes + (connection / copies) * 4;
  };
  const states = zero === 0 ? common + experts : common / copies + experts / copiesOfExperts;
  return {
    weights: held(weights, 3),
    gradients: held(gradients, 2),
    optimizer: states * (master + 2 * moments) + (zero === 0 ? connection : connection / copies) * 8,
  };
}

interface Stored {
  /** Values in the activations' precision, and float32 ones. */
  readonly values: number;
  readonly float32: number;
}

/** What attention stores of a token, without its input. */
function attentionStores({ attention }: Architecture): Stored {
  const { heads, headSize } = attention;
  if (attention.kind === "grouped") return { values: (2 * heads + 2 * attention.kvHeads) * headSize, float32: heads };
  const { rotarySize, rank, queryRank = 0 } = attention;
  const latents = 2 * rank + rotarySize + 2 * queryRank;
  return {
    values: heads * (headSize + rotarySize) + latents + heads * (headSize + 2 * valueSizeOf(attention)),
    float32: heads,
  };
}

/** What a feed-forward sublayer with experts stores of a token, without its input. */
function expertStores({ width, feedForward }: Architecture): Stored {
  if (feedForward.kind === "dense") return { values: 0, float32: 0 };
  const { hidden, active, shared, routed } = feedForward;
  return { values: 3 * hidden * (active + shared) + 2 * active * width, float32: routed };
}

/** NaN for a model whose shapes are not public. */
function activationBytes(
  model: PlannedModel,
  layout: Layout,
  { activations }: Precision,
  stage: Stage,
  variant: MemoryVariant,
): number {
  if (model.known === "totals") return Number.NaN;
  const tokens = localTokens(layout, model);
  const bytes = ({ values, float32 }: Stored): number => activations * values + 4 * float32;
  const attention = stage.layers * bytes(attentionStores(model));
  const dense = (stage.layers - stage.expertLayers) * activations * 3 * denseHidden(model);
  const experts = stage.expertLayers * bytes(expertStores(model));
  const normalised = variant === "recomputed" ? 0 : 2 * stage.layers * model.width * activations;
  const logits = stage.last ? 2 * 4 * model.vocabulary : 0;
  return tokens * (stage.inFlight * (attention + dense + experts + normalised) + logits);
}

function streamBytes(
  model: PlannedModel,
  layout: Layout,
  { activations }: Precision,
  stage: Stage,
  variant: MemoryVariant,
): { readonly storeEvery?: number; readonly bytes: number } {
  const { width, connection } = model;
  const { layers, inFlight } = stage;
  const n = connection.streams;
  const [tokens, sublayers] = [localTokens(layout, model), 2 * layers];
  const channels = width * activations;
  if (variant === "residual") return { bytes: tokens * inFlight * sublayers * channels };
  // What φ read and the norm, where something is learned, and the coefficients, of each sublayer.
  const own = sublayerMaps(model, stage).map((maps) => {
    const { rows } = mapRows(n, maps);
    return 4 * (coefficientCount(n) + (rows === 0 ? 0 : rows + 1));
  });
  const sum = (bytes: readonly number[]): number => bytes.reduce((total, each) => total + each, 0);
  if (variant === "stored") return { bytes: tokens * inFlight * (sublayers * (n + 2) * channels + sum(own)) };
  const choices = Array.from({ length: sublayers }, (_, index) => {
    const storeEvery = index + 1;
    const once = blockObjective(n, sublayers, storeEvery);
    const further = (inFlight - 1) * n * Math.ceil(sublayers / storeEvery);
    return {
      storeEvery,
      bytes: tokens * ((once + further + inFlight * sublayers) * channels + largestGroup(own, storeEvery)),
    };
  });
  return choices.reduce((a, b) => (b.bytes < a.bytes ? b : a));
}

/** The most that one group of so many neighbours needs; the last group may have fewer. */
function largestGroup(bytes: readonly number[], size: number): number {
  const groups = Array.from({ length: Math.ceil(bytes.length / size) }, (_, group) =>
    bytes.slice(group * size, (group + 1) * size).reduce((sum, each) => sum + each, 0),
  );
  return Math.max(...groups);
}
