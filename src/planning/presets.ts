// Question: which models can be planned by name?
//
// The paper's (mHC, arXiv 2512.24880, Table 5), DeepSeek-V4's as far as public figures go (its report,
// arXiv 2606.19348), and the sizes that train here.

import { didYouMean } from "../basics/names.ts";
import { type ModelConfig, type ModelSize, type Preset, presets as trainable } from "../model/config.ts";
import { given } from "../basics/given.ts";
import type { Architecture, ConnectionShape, PlannedModel, PublishedModel } from "./architecture.ts";

const VOCABULARY = 129280;
const CONTEXT = 4096;
/** Of the paper's models. */
const paperConnection: ConnectionShape = { streams: 4, iterations: 20 };

interface PaperRow {
  readonly width: number;
  readonly hidden: number;
  readonly heads: number;
  readonly layers: number;
  readonly routed: number;
  readonly batch: number;
  readonly steps: number;
  readonly learningRate: number;
}

function paper(name: string, { width, hidden, heads, layers, routed, batch, steps, learningRate }: PaperRow) {
  return {
    known: "shapes",
    name,
    vocabulary: VOCABULARY,
    context: CONTEXT,
    width,
    layers,
    attention: { kind: "latent", heads, headSize: 128, rotarySize: 64, rank: 512 },
    feedForward: { kind: "experts", hidden, routed, active: 6, shared: 2, leadingDense: 1 },
    connection: paperConnection,
    training: {
      batch,
      context: CONTEXT,
      steps,
      learningRate,
      warmup: 2000,
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-20,
      weightDecay: 0.1,
    },
  } satisfies Architecture;
}

const small = { width: 1280, hidden: 896, heads: 16, layers: 12, routed: 64 } as const;
const paperModels: readonly Architecture[] = [
  paper("paper-3b", { ...small, batch: 320, steps: 30e3, learningRate: 8.6e-4 }),
  paper("paper-9b", {
    width: 1920,
    hidden: 1280,
    heads: 24,
    layers: 18,
    routed: 64,
    batch: 512,
    steps: 50e3,
    learningRate: 5.9e-4,
  }),
  paper("paper-27b", {
    width: 2560,
    hidden: 1536,
    heads: 32,
    layers: 30,
    routed: 72,
    batch: 1280,
    steps: 50e3,
    learningRate: 4.0e-4,
  }),
  paper("paper-3b-1t", { ...small, batch: 2560, steps: 100e3, learningRate: 9.0e-4 }),
];

/** The length of a sequence is the planner's choice here. */
const published: readonly PublishedModel[] = [
  {
    known: "totals",
    name: "deepseek-v4-flash",
    width: 4096,
    layers: 43,
    context: CONTEXT,
    connection: paperConnection,
    total: 284e9,
    active: 13e9,
  },
  {
    known: "totals",
    name: "deepseek-v4-pro",
    width: 7168,
    layers: 61,
    context: CONTEXT,
    connection: paperConnection,
    total: 1.6e12,
    active: 49e9,
  },
];

/** The vocabulary of a model is that of its tokenizer, which learns at most 1024 tokens by default. */
const SMALL_VOCABULARY = 1024;
/**
 * GPT-2's tokenizer, for the sizes of a GPU. It is not padded to 50304: no text holds the tokens beyond 50256, and the
 * shapes stay those of other programs. How a machine lays its matrices out is its own affair.
 */
const GPT2_VOCABULARY = 50257;
const gpuSizes: readonly Preset[] = ["gpt2-small", "gpt2-medium", "dense-1b", "moe-small"];

/**
 * A model of this library's own kind as the planner sees it.
 *
 * @param connection of the plan's mHC. Default: the paper's 4 streams and 20 iterations
 */
export function architectureOf(
  name: string,
  model: ModelSize & Pick<ModelConfig, "vocabulary">,
  connection: ConnectionShape = paperConnection,
): Architecture {
  const { vocabulary, context, width, layers, heads, kvHeads, hidden, attention: latent, feedForward: experts } = model;
  return {
    known: "shapes",
    name,
    vocabulary,
    context,
    width,
    layers,
    attention: latent
      ? {
          kind: "latent",
          heads,
          headSize: latent.contentSize,
          rotarySize: latent.rotarySize,
          rank: latent.rank,
          ...given({
            queryRank: latent.queryRank,
            valueSize: latent.valueSize === latent.contentSize ? undefined : latent.valueSize,
          }),
        }
      : { kind: "grouped", heads, kvHeads, headSize: width / heads },
    feedForward: experts
      ? {
          kind: "experts",
          hidden: experts.hidden,
          routed: experts.experts,
          active: experts.active,
          shared: experts.shared,
          leadingDense: experts.denseLayers,
          ...given({
            leadingHidden: hidden === (experts.active + experts.shared) * experts.hidden ? undefined : hidden,
          }),
        }
      : { kind: "dense", hidden },
    connection,
  };
}

const ours = (Object.keys(trainable) as Preset[]).map((name) =>
  architectureOf(name, {
    ...trainable[name],
    vocabulary: gpuSizes.includes(name) ? GPT2_VOCABULARY : SMALL_VOCABULARY,
  }),
);

/** Every model that can be planned by name. */
export const plannedModels: readonly PlannedModel[] = [...paperModels, ...published, ...ours];

/**
 * A model by its name.
 *
 * @throws RangeError when there is none; it lists the names
 */
export function plannedModel(name: string): PlannedModel {
  const found = plannedModels.find((model) => model.name === name);
  if (found) return found;
  const names = plannedModels.map((model) => model.name).join(", ");
  throw new RangeError(
    `plannedModel: there is no model "${name}" to plan; there are ${names}.${didYouMean(
      name,
      plannedModels.map((model) => model.name),
    )}`,
  );
}

/** The tokens a model was trained on, where that is public. */
export function trainedTokens(model: PlannedModel): number | undefined {
  if (model.known === "totals" || !model.training) return undefined;
  return model.training.batch * model.training.steps * model.training.context;
}

/** The sequences of a batch that a model was trained with, where that is public. */
export function trainedBatch(model: PlannedModel): number | undefined {
  if (model.known === "totals" || !model.training || !Number.isInteger(model.training.batch)) return undefined;
  return model.training.batch;
}
