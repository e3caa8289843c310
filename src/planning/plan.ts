// Question: what does it take to train this model with mHC, and what without?
//
// Puts together what the other files of this room count, as plain data that can be printed, drawn or kept
// as JSON. docs/planning.md explains every number of it.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { blockObjective, blockOptimum } from "./block-objective.ts";
import { type PlannedModel, sublayerCount } from "./architecture.ts";
import { countFlops, type FlopCount } from "./flops.ts";
import { expectPlannedModel } from "./check-model.ts";
import { expectHardware, type Hardware } from "./hardware.ts";
import { dataParallel, type Layout, type LayoutWishes } from "./layout.ts";
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
import { trainedTokens } from "./presets.ts";
import { type Reduction, reductions } from "./reductions.ts";
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
  /** Whether the copies share the optimizer's states (ZeRO-1). Default true. */
  readonly sharded?: boolean;
  /** Sequences of a micro-batch on one GPU. Default 1. */
  readonly microBatch?: number;
  /** Default "mixed", and "float32" of a measured machine. */
  readonly precision?: PrecisionName;
  /** Part of the peak that the baseline's operations reach. Default 0.35, and 1 of a measured machine. */
  readonly utilisation?: number;
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
  readonly layout: Layout & { readonly data: number };
  readonly precision: PrecisionName;
  readonly assumptions: { readonly utilisation: number; readonly bandwidthEfficiency: number };
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
  sharded: "flag",
  microBatch: "number",
  precision: Object.keys(precisions),
  utilisation: "number",
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
  const utilisation = options.utilisation ?? (hardware.measured ? 1 : DEFAULT_UTILISATION);
  checkRanges({ utilisation, bandwidthEfficiency }, 1);
  checkRanges({ price, tokens: options.tokens });
  const { gpus, pipeline, expert, sharded = true, microBatch = 1 } = options;
  const wishes: LayoutWishes = {
    gpus,
    sharded,
    microBatch,
    ...given({ pipeline, expert }),
  };
  const { layout } = chooseLayout(model, wishes, precisions[precision], hardware.memoryBytes);
  const memory = memoriesOf(model, layout, precision, hardware);
  const flops = countFlops(model);
  const tokens = options.tokens ?? trainedTokens(model);
  const times = {
    gpus: layout.gpus,
    ...given({ tokens, price }),
  };
  const peak = precision === "float32" ? hardware.peak.tf32 : hardware.peak.bf16;
  const seconds = flops.baseline.training / (peak * utilisation);
  const streamBytes = precisions[precision].activations;
  const { storeEvery } = memory.recomputed;
  const extraOf = (fusion: Fusion): Extra => {
    const kernels = connectionTime(model, hardware, {
      fusion,
      streamBytes,
      bandwidthEfficiency,
      tokens: layout.microBatch * model.context,
      ...given({ storeEvery }),
    });
    return { kernels, fraction: kernels.total / seconds, training: trainingTime(seconds + kernels.total, times) };
  };
  const message = layout.microBatch * model.context * model.width * streamBytes;
  return {
    model,
    hardware,
    layout: { ...layout, data: dataParallel(layout) },
    precision,
    assumptions: { utilisation, bandwidthEfficiency },
    parameters: countParameters(model),
    flops,
    memory,
    reductions: memory.recomputed.fits ? [] : reductions(model, wishes, precision, hardware.memoryBytes),
    traffic: record(schemes, (scheme) => trafficWithBytes(model, scheme, streamBytes)),
    recomputation: recomputationOf(model),
    message: { residual: message, streams: model.connection.streams * message },
    tokens,
    baseline: trainingTime(seconds, times),
    extra: record(fusions, extraOf),
    paperOverhead: PAPER_OVERHEAD,
  };
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
