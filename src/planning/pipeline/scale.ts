// Question: how does the training of a large model go on more and more GPUs, by simulation?
//
// For each number of GPUs and of stages the pipeline is simulated task by task with the times of the paper's layers
// (paper-times.ts), and what copies tell each other after it is added as counted (communication.ts). Of the shapes and
// schedules that fit the memory the fastest is taken. One batch is one batch: with more GPUs a copy has fewer micro-batches
// of it, so that the stages idle longer. A long pipeline repeats itself: two shorter ones say what a micro-batch more takes,
// and so it is with the layers of a stage.
//
//   step = makespan of the pipeline + gradients and weights among the copies
//
// The output matrix is as much work as some layers, which the stages share; the stage with most layers decides. Everything
// rests on shares of data sheets' peaks that are assumed (paper-times.ts); nothing of it was measured on hardware.

import { expectWhole } from "../../basics/ranges.ts";
import { MOST_COUNT } from "../../basics/bounds.ts";
import type { Hardware } from "../hardware.ts";
import type { Layout } from "../layout.ts";
import { planTraining } from "../plan.ts";
import { trainedTokens } from "../presets.ts";
import { type ScheduleName, schedules } from "../../training/parallel/schedules/table.ts";
import { fullOverlap, layerCosts, noOverlap } from "./layer-costs.ts";
import { measure, type TimelineReport } from "./measure.ts";
import { type ConnectionCost, type LayerAssumptions, layerTimes } from "./paper-times.ts";
import { tasksOf } from "./program.ts";
import { simulate } from "./simulate.ts";

/** A simulated step. */
export interface ScaledStep {
  readonly seconds: number;
  /** Of these, gradients and weights among the copies. */
  readonly exchange: number;
  /** Share of the pipeline's time in which a stage does not compute, waiting for messages included. */
  readonly idle: number;
}

/** The best that was found for so many GPUs. */
export interface ScaledTraining {
  readonly layout: Layout & { readonly data: number };
  readonly schedule: ScheduleName;
  /** Of a step, on one copy of the model. */
  readonly microBatches: number;
  /** Bytes of the GPU that needs most, with a second copy of the weights where the schedule has one. */
  readonly memoryBytes: number;
  readonly residual: ScaledStep;
  readonly mhc: ScaledStep;
  readonly tokensPerSecond: number;
  /** Tokens a second and GPU with mHC, over those of the first number of GPUs that the model fits. */
  readonly efficiency: number;
  /** Of the whole training with mHC; undefined where its tokens are not known. */
  readonly days: number | undefined;
}

export interface ScaleOptions {
  readonly hardware: Hardware;
  /** Sequences of a batch. */
  readonly batch: number;
}

const stageCounts = [1, 2, 4, 8, 16] as const;
const candidates = ["1f1b", "zb-h1", "dualpipe"] as const satisfies readonly ScheduleName[];

/**
 * @param gpus each number of GPUs
 * @returns for each of them the fastest shape that fits; undefined where none does
 * @throws RangeError when a number is not a whole number of at least 1
 */
export function planScale(
  assumptions: LayerAssumptions,
  gpus: readonly number[],
  { hardware, batch }: ScaleOptions,
): (ScaledTraining | undefined)[] {
  for (const each of gpus) expectWhole("planScale", "gpus", each, 1, MOST_COUNT);
  expectWhole("planScale", "batch", batch, 1, MOST_COUNT);
  const { model } = assumptions;
  const tokens = trainedTokens(model);
  const simulated = createLengths(assumptions);
  const found = gpus.map((many) =>
    stageCounts
      .flatMap((stages) => shapesOf(assumptions, { gpus: many, stages }, { hardware, batch }, simulated))
      .reduce<Shape | undefined>((a, b) => (a && a.mhc.seconds <= b.mhc.seconds ? a : b), undefined),
  );
  const perStep = batch * model.context;
  const speedOf = ({ mhc, layout }: Shape): number => perStep / mhc.seconds / layout.gpus;
  const first = found.find((each) => each !== undefined);
  return found.map(
    (shape) =>
      shape && {
        ...shape,
        residual: shape.residual(),
        tokensPerSecond: perStep / shape.mhc.seconds,
        efficiency: speedOf(shape) / speedOf(first!),
        days: tokens === undefined ? undefined : ((tokens / perStep) * shape.mhc.seconds) / 86_400,
      },
  );
}

type Lengths = (
  schedule: ScheduleName,
  shape: { readonly stages: number; readonly microBatches: number },
  connection: ConnectionCost,
) => Length;

/** What is simulated; a pipeline that several numbers of GPUs have is simulated once. */
export function createLengths(assumptions: LayerAssumptions): Lengths {
  const known = new Map<string, Length>();
  return (schedule, { stages, microBatches }, connection) => {
    const key = [schedule, stages, microBatches, connection].join(" ");
    const found = known.get(key);
    if (found) return found;
    const shape = { stages, microBatches, chunks: 1 };
    const chunks = schedules[schedule].chunks(shape);
    const orders = schedules[schedule].orders(shape);
    const { times } = layerTimes(assumptions, connection);
    const overlap = connection === "mhc" ? fullOverlap : noOverlap;
    const layers = Math.ceil((assumptions.model.layers + headLayers(assumptions)) / stages / chunks);
    const length = extended(layers, SIMULATED_LAYERS, (many) => {
      const timeline = simulate(tasksOf(orders, stages * chunks, layerCosts(times, many, overlap)), stages);
      return lengthOf(measure(timeline, chunks));
    });
    known.set(key, length);
    return length;
  };
}

/** Of a pass; more of them are extended, so that the tasks of a deep model have room in memory. */
const SIMULATED_LAYERS = 16;

interface Shape extends Pick<ScaledTraining, "layout" | "schedule" | "microBatches" | "memoryBytes" | "mhc"> {
  /** Simulated for the shape that is taken, alone. */
  residual(): ScaledStep;
}

/** What so many GPUs can do in so many stages: each schedule that runs and fits. */
function shapesOf(
  assumptions: LayerAssumptions,
  { gpus, stages }: { readonly gpus: number; readonly stages: number },
  { hardware, batch }: ScaleOptions,
  simulated: Lengths,
): Shape[] {
  const { model } = assumptions;
  const microBatches = (batch * stages) / gpus;
  if (gpus % stages > 0 || stages > model.layers || !Number.isInteger(microBatches)) return [];
  const plan = planTraining(model, { hardware, gpus, pipeline: stages, batch });
  const { recomputed } = plan.memory;
  const exchangeOf = (which: "residual" | "mhc"): number =>
    plan.step[which].communication
      .filter(({ kind }) => kind === "gradients" || kind === "weights")
      .reduce((sum, { seconds }) => sum + seconds, 0);
  return candidates.flatMap((schedule): Shape[] => {
    const shape = { stages, microBatches, chunks: 1 };
    if (schedules[schedule].refuses(shape) !== undefined) return [];
    const twice = schedule === "dualpipe" ? recomputed.bytes.weights + recomputed.bytes.gradients : 0;
    const memoryBytes = recomputed.total + twice;
    if (memoryBytes > hardware.memoryBytes) return [];
    const step = (connection: ConnectionCost): ScaledStep => {
      const { unit } = layerTimes(assumptions, connection);
      const { makespan, busy } = longPipeline(microBatches, stages, (many) =>
        simulated(schedule, { stages, microBatches: many }, connection),
      );
      const exchange = exchangeOf(connection);
      return { seconds: makespan * unit * model.context + exchange, exchange, idle: 1 - busy / makespan };
    };
    const { layout } = plan;
    return [{ layout, schedule, microBatches, memoryBytes, mhc: step("mhc"), residual: () => step("residual") }];
  });
}

/** What a pipeline takes, and how long a stage computes in it, as a mean. */
export interface Length {
  readonly makespan: number;
  readonly busy: number;
}

const lengthOf = ({ makespan, bubble }: TimelineReport): Length => ({ makespan, busy: (1 - bubble) * makespan });

/** The length of a pipeline of any number of micro-batches. */
export function longPipeline(
  microBatches: number,
  stages: number,
  simulated: (microBatches: number) => Length,
): Length {
  return extended(microBatches, 8 * stages, simulated);
}

/**
 * The length of a pipeline with so many of what it repeats. With more than `most` it is not simulated: what each further one
 * takes is known from `most` of them, and half as many.
 */
function extended(many: number, most: number, simulated: (many: number) => Length): Length {
  if (many <= most) return simulated(many);
  const [a, b] = [simulated(most / 2), simulated(most)];
  const further = (many - most) / (most / 2);
  return { makespan: b.makespan + further * (b.makespan - a.makespan), busy: b.busy + further * (b.busy - a.busy) };
}

/** The output matrix in layers. */
function headLayers(assumptions: LayerAssumptions): number {
  const { model, compute } = assumptions;
  return (2 * model.width * model.vocabulary) / compute / layerTimes(assumptions, "residual").unit;
}
