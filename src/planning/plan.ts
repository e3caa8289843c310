// Question: what does it take to train this model with mHC, and what without?
//
// Puts together what the other files of this room count, as plain data that can be printed, drawn or kept
// as JSON. docs/planning.md explains every number of it.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { showList } from "../basics/show.ts";
import { given } from "../basics/given.ts";
import { blockObjective, blockOptimum } from "./block-objective.ts";
import { type PlannedModel, sublayerCount } from "./architecture.ts";
import { countFlops, type FlopCount } from "./flops.ts";
import { expectPlannedModel } from "./check-model.ts";
import { expectHardware, type Hardware } from "./hardware.ts";
import {
  batchOf,
  dataParallel,
  type Layout,
  type LayoutWishes,
  localTokens,
  type ZeroStage,
  zeroStages,
} from "./layout.ts";
import {
  chooseLayout,
  memoryVariants,
  type MemoryVariant,
  peakMemory,
  type PrecisionName,
  precisions,
  type StageMemory,
} from "./gpu-memory.ts";
import { countParameters, type ParameterCount } from "./parameters.ts";
import { trainedBatch, trainedTokens } from "./presets.ts";
import { type Reduction, reductions } from "./reductions.ts";
import { impliedEfficiency, type StepOptions, type StepTime, stepTime } from "./step.ts";
import { type ConnectionTime, connectionTime, type Fusion, fusions } from "./roofline.ts";
import {
  DEFAULT_BANDWIDTH_EFFICIENCY,
  DEFAULT_UTILISATION,
  PAPER_OVERHEAD,
  type TrainingTime,
  trainingTime,
} from "./time.ts";
import { type Pass, type Scheme, schemes, totalTraffic, trafficOf } from "./traffic.ts";

/** What a plan is for: GPUs, how the model is spread over them, and what is assumed. */
export interface PlanOptions {
  readonly hardware: Hardware;
  readonly gpus: number;
  /** P and E; absent, the smallest with which mHC fits when it recomputes. */
  readonly pipeline?: number;
  readonly expert?: number;
  /** T: parts that heads and the feed-forward's columns are cut into. Default 1. */
  readonly tensor?: number;
  /** S: parts that sequences are cut into. Default 1. */
  readonly contextParallel?: number;
  /** What copies share: 0 nothing, 1 the optimizer's states, 2 also gradients, 3 also weights. Default 1. */
  readonly zero?: ZeroStage;
  /** false is another name of `zero: 0`, true of `zero: 1`. Give one of the two. */
  readonly sharded?: boolean;
  /** Sequences of a micro-batch on one GPU. Default 1. */
  readonly microBatch?: number;
  /**
   * Sequences of a batch on all GPUs. Default: those the model was trained with, rounded up to what the GPUs can share
   * evenly; where that is not public, as many micro-batches on a GPU as the pipeline has stages.
   */
  readonly batch?: number;
  /** Micro-batches of a batch on one GPU, accumulated before an update. Default: as `batch` needs. */
  readonly accumulate?: number;
  /** Default "mixed", and "float32" of a measured machine. */
  readonly precision?: PrecisionName;
  /**
   * MFU: part of the peak that the baseline's operations reach in a training with pipeline, experts and ZeRO-1, their
   * communication and idle time included. Default 0.35, and 1 of a measured machine.
   */
  readonly utilisation?: number;
  /**
   * Part of the peak that computation alone reaches. All communication and the pipeline's idle time are then added as
   * they are counted. It takes the place of `utilisation`.
   */
  readonly computeEfficiency?: number;
  /** Part of the communication that is hidden behind computation, where it is added. Default 0. */
  readonly overlap?: number;
  /** Part of the memory's bandwidth that the connection's kernels reach. Default 1. */
  readonly bandwidthEfficiency?: number;
  /** Default: those the model was trained on, where that is public. */
  readonly tokens?: number;
  /** Price of one GPU hour. */
  readonly price?: number;
}

/** What one form of the connection moves. */
export interface SchemeTraffic {
  readonly passes: readonly Pass[];
  readonly total: ReturnType<typeof totalTraffic>;
  /** All of it, for one token and sublayer, streams in the plan's precision and single values float32. */
  readonly bytes: number;
}

/** How much longer training takes with mHC, and how long then. */
export interface Extra {
  readonly kernels: ConnectionTime;
  /** As a share of the baseline's time. */
  readonly fraction: number;
  readonly training: TrainingTime;
}

/** Everything the planner knows about a training, as plain data. */
export interface TrainingPlan {
  readonly model: PlannedModel;
  readonly hardware: Hardware;
  readonly layout: Layout & {
    /** D. */
    readonly data: number;
    /** Sequences of a batch. */
    readonly batch: number;
  };
  readonly precision: PrecisionName;
  readonly assumptions: {
    /** Part of the peak, and of what: a whole training, or computation alone. */
    readonly utilisation: number;
    readonly covers: "training" | "computation";
    readonly bandwidthEfficiency: number;
    readonly overlap: number;
  };
  readonly parameters: ParameterCount;
  readonly flops: FlopCount;
  /** On each GPU of the stage that needs the most. */
  readonly memory: Readonly<Record<MemoryVariant, StageMemory & { readonly fits: boolean }>>;
  /** What would reduce the memory of mHC with recomputation, the best first; empty when it fits. */
  readonly reductions: readonly Reduction[];
  readonly traffic: Readonly<Record<Scheme, SchemeTraffic>>;
  /** Eq. 20 in units of C a token, for the whole model. */
  readonly recomputation: {
    readonly sublayers: number;
    readonly curve: readonly { readonly storeEvery: number; readonly channels: number }[];
    readonly best: number;
    /** √(nL / (n + 2)). */
    readonly optimum: number;
  };
  /** Bytes of one micro-batch from one stage to the next: plain residuals, and n streams. */
  readonly message: { readonly residual: number; readonly streams: number };
  /** One step, part by part, with plain residuals and with mHC in fused kernels. */
  readonly step: {
    readonly tokens: number;
    readonly residual: StepTime;
    readonly mhc: StepTime;
    /**
     * Where the share is of a whole training: what computation alone must reach for it, when the communication that it
     * covers takes as long as counted. Above 1 (or Infinity) the share is out of reach.
     */
    readonly impliedEfficiency?: number;
  };
  readonly tokens: number | undefined;
  readonly baseline: TrainingTime;
  /** mHC with recomputation as its memory above, and how much longer it takes. */
  readonly extra: Readonly<Record<Fusion, Extra>>;
  /** The paper's own figure, 6.7 %, for comparison. */
  readonly paperOverhead: number;
}

const optionRules: FieldRules<PlanOptions> = {
  hardware: "group",
  gpus: "number",
  pipeline: "number",
  expert: "number",
  tensor: "number",
  contextParallel: "number",
  zero: "number",
  sharded: "flag",
  microBatch: "number",
  batch: "number",
  accumulate: "number",
  precision: Object.keys(precisions),
  utilisation: "number",
  computeEfficiency: "number",
  overlap: "number",
  bandwidthEfficiency: "number",
  tokens: "number",
  price: "number",
};

/**
 * Plan the training of a model with mHC and of its baseline with plain residuals.
 *
 * @throws RangeError when a size is out of its range, or the layout does not fit the model
 */
export function planTraining(model: PlannedModel, options: PlanOptions): TrainingPlan {
  expectPlannedModel("planTraining", model);
  expectFields("planTraining", options, optionRules);
  expectHardware("planTraining", options.hardware);
  const { hardware, price, bandwidthEfficiency = DEFAULT_BANDWIDTH_EFFICIENCY } = options;
  const precision = options.precision ?? (hardware.measured ? "float32" : "mixed");
  const covers = options.computeEfficiency === undefined ? "training" : "computation";
  const utilisation = options.computeEfficiency ?? options.utilisation ?? (hardware.measured ? 1 : DEFAULT_UTILISATION);
  const { overlap = 0 } = options;
  checkRanges(
    { utilisation: options.utilisation, computeEfficiency: options.computeEfficiency, bandwidthEfficiency },
    1,
  );
  checkRanges({ price, tokens: options.tokens });
  checkTogether(options);
  const wishes = wishesOf(model, options);
  const { layout } = chooseLayout(model, wishes, precisions[precision], hardware.memoryBytes);
  const memory = memoriesOf(model, layout, precision, hardware);
  const flops = countFlops(model);
  const tokens = options.tokens ?? trainedTokens(model);
  const times = {
    gpus: layout.gpus,
    ...given({ tokens, price }),
  };
  const peak = precision === "float32" ? hardware.peak.tf32 : hardware.peak.bf16;
  const atPeak = flops.baseline.training / peak;
  const assumed = flops.baseline.training / (peak * utilisation);
  const streamBytes = precisions[precision].activations;
  const { storeEvery } = memory.recomputed;
  const common = { layout, precision: precisions[precision], hardware, atPeak, assumed, covers, overlap } as const;
  const plain: StepOptions = { ...common, streams: false, kernels: 0 };
  const { besidePerToken, ...residual } = stepTime(model, plain);
  const seconds = assumed + besidePerToken;
  const kernelsOf = (fusion: Fusion): ConnectionTime =>
    connectionTime(model, hardware, {
      fusion,
      streamBytes,
      bandwidthEfficiency,
      tokens: localTokens(layout, model),
      ...given({ storeEvery }),
    });
  const withStreams = (kernels: number) => stepTime(model, { ...common, streams: true, kernels });
  const extraOf = (fusion: Fusion): Extra => {
    const kernels = kernelsOf(fusion);
    const more = kernels.total + (withStreams(kernels.total).besidePerToken - besidePerToken);
    return { kernels, fraction: more / seconds, training: trainingTime(seconds + more, times) };
  };
  const { besidePerToken: _beside, ...mhc } = withStreams(kernelsOf("fused").total);
  const message = localTokens(layout, model) * model.width * streamBytes;
  return {
    model,
    hardware,
    layout: { ...layout, data: dataParallel(layout), batch: batchOf(layout) },
    precision,
    assumptions: { utilisation, covers, bandwidthEfficiency, overlap },
    parameters: countParameters(model),
    flops,
    memory,
    reductions: memory.recomputed.fits ? [] : reductions(model, wishes, precision, hardware.memoryBytes),
    traffic: record(schemes, (scheme) => trafficWithBytes(model, scheme, streamBytes)),
    recomputation: recomputationOf(model),
    message: { residual: message, streams: model.connection.streams * message },
    step: {
      tokens: batchOf(layout) * model.context,
      residual,
      mhc,
      ...(covers === "training" ? { impliedEfficiency: impliedEfficiency(model, plain, residual) } : {}),
    },
    tokens,
    baseline: trainingTime(seconds, times),
    extra: record(fusions, extraOf),
    paperOverhead: PAPER_OVERHEAD,
  };
}

function wishesOf(model: PlannedModel, options: PlanOptions): LayoutWishes {
  const {
    gpus,
    pipeline,
    expert,
    tensor,
    contextParallel,
    microBatch = 1,
    batch,
    accumulate,
    sharded = true,
  } = options;
  return {
    gpus,
    zero: options.zero ?? (sharded ? 1 : 0),
    microBatch,
    ...given({ pipeline, expert, tensor, contextParallel, batch, accumulate, usualBatch: trainedBatch(model) }),
  };
}

/** @throws RangeError for options that contradict each other or lie outside their list */
function checkTogether({ zero, sharded, utilisation, computeEfficiency, overlap = 0 }: PlanOptions): void {
  if (zero !== undefined && !zeroStages.includes(zero))
    throw new RangeError(`zero is ${zero}; it must be one of ${showList(zeroStages)}. Give one of these.`);
  if (zero !== undefined && sharded !== undefined)
    throw new RangeError(`zero is ${zero} and sharded is ${sharded}; they say the same. Give one of them.`);
  if (utilisation !== undefined && computeEfficiency !== undefined)
    throw new RangeError(
      `utilisation is ${utilisation} and computeEfficiency is ${computeEfficiency}; the first is of a whole training, the second of computation alone. Give one of them.`,
    );
  if (!(overlap >= 0 && overlap <= 1))
    throw new RangeError(`overlap is ${overlap}; it must be a number from 0 to 1. Give one of these.`);
}

function checkRanges(values: Readonly<Record<string, number | undefined>>, most = Number.POSITIVE_INFINITY): void {
  for (const [name, value] of Object.entries(values))
    if (value !== undefined && !(value > 0 && value <= most && value !== Number.POSITIVE_INFINITY))
      throw new RangeError(
        `${name} is ${value}; it must be a finite number above 0${most === 1 ? " and at most 1" : ""}.`,
      );
}

function memoriesOf(
  model: PlannedModel,
  layout: Layout,
  precision: PrecisionName,
  { memoryBytes }: Hardware,
): TrainingPlan["memory"] {
  return record(memoryVariants, (variant) => {
    const peak = peakMemory(model, layout, precisions[precision], variant);
    return { ...peak, fits: peak.total <= memoryBytes };
  });
}

function trafficWithBytes({ width, connection }: PlannedModel, scheme: Scheme, streamBytes: number): SchemeTraffic {
  const passes = trafficOf(scheme, connection.streams, connection.iterations);
  const total = totalTraffic(passes);
  const channels = total.read.channels + total.write.channels;
  return { passes, total, bytes: channels * width * streamBytes + 4 * (total.read.values + total.write.values) };
}

function recomputationOf(model: PlannedModel): TrainingPlan["recomputation"] {
  const sublayers = sublayerCount(model);
  const { streams } = model.connection;
  const curve = Array.from({ length: sublayers }, (_, index) => ({
    storeEvery: index + 1,
    channels: blockObjective(streams, sublayers, index + 1),
  }));
  const best = curve.reduce((a, b) => (b.channels < a.channels ? b : a)).storeEvery;
  return { sublayers, curve, best, optimum: blockOptimum(streams, sublayers) };
}

function record<K extends string, V>(keys: readonly K[], value: (key: K) => V): Record<K, V> {
  return Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<K, V>;
}
