// Question: how long does a step take, in which parts?
//
//   step = computation + mHC's kernels + communication beside it + bubble
//
//   computation    the baseline's operations over peak x share. By default that share is what a whole training reaches,
//                  MFU (time.ts): the published cost behind 0.35 is of a training with pipeline, experts and ZeRO-1, so
//                  their communication is covered, and only that of tensor and context parallelism and of ZeRO-2 and 3
//                  is added. A share that computation alone reaches covers nothing, and all is added.
//   communication  communication.ts; a share of it may be hidden behind computation
//   bubble         (P - 1)/A of what a stage does for all its micro-batches, under 1F1B (arXiv 2104.04473, 2.2.1);
//                  covered by MFU
//
// All are seconds of one GPU, its stage as large as the others.

import type { PlannedModel } from "./architecture.ts";
import {
  beyondAssumed,
  type Communication,
  type CommunicationKind,
  communicationOf,
  type CommunicationOptions,
} from "./communication.ts";
import { batchOf } from "./layout.ts";

/** One step with plain residuals, or with mHC. */
export interface StepTime {
  readonly computation: number;
  /** mHC's kernels; 0 with plain residuals. */
  readonly kernels: number;
  /** What a GPU receives, and how long that takes by itself. */
  readonly communication: readonly Communication[];
  /** Seconds of it that the step takes longer: what the share covers and what is hidden is not among them. */
  readonly beside: number;
  readonly bubble: number;
  readonly seconds: number;
  /** The baseline's operations over what the GPU could do in these seconds. */
  readonly mfu: number;
}

/** What computation takes, and what its share covers. */
export interface StepOptions extends CommunicationOptions {
  /** GPU seconds a token: at the peak, at the assumed share, and of mHC's kernels. */
  readonly atPeak: number;
  readonly assumed: number;
  readonly kernels: number;
  /** Whether the share is of all that a training does, or of computation alone. */
  readonly covers: "training" | "computation";
  /** Share of the communication that is hidden behind computation. */
  readonly overlap: number;
}

/** Kinds that come with every micro-batch, and so also in a bubble. */
const everyMicroBatch: readonly CommunicationKind[] = ["experts", "tensor", "context"];

/** The time of a step, and the GPU seconds a token that it takes beside computation and kernels. */
export function stepTime(model: PlannedModel, options: StepOptions): StepTime & { readonly besidePerToken: number } {
  const { layout, atPeak, assumed, covers, overlap } = options;
  const { pipeline, accumulate, gpus } = layout;
  const perGpu = (batchOf(layout) * model.context) / gpus;
  const [computation, kernels] = [assumed * perGpu, options.kernels * perGpu];
  const communication = communicationOf(model, options);
  const secondsOf = (kinds?: readonly CommunicationKind[]): number =>
    communication
      .filter(({ kind }) => kinds === undefined || kinds.includes(kind))
      .reduce((sum, { seconds }) => sum + seconds, 0);
  const counted = covers === "computation";
  const beside = (1 - overlap) * (counted ? secondsOf() : beyondAssumed(model, options));
  const busy = computation + kernels + (1 - overlap) * secondsOf(everyMicroBatch);
  const bubble = counted ? ((pipeline - 1) / accumulate) * busy : 0;
  const seconds = computation + kernels + beside + bubble;
  return {
    computation,
    kernels,
    communication,
    beside,
    bubble,
    seconds,
    mfu: (atPeak * perGpu) / seconds,
    besidePerToken: (beside + bubble) / perGpu,
  };
}

/**
 * Share of the peak that computation itself must reach for an assumed MFU, when what it covers is as long as counted:
 * above 1 that MFU is out of reach without more overlap.
 */
export function impliedEfficiency(model: PlannedModel, options: StepOptions, step: StepTime): number {
  const all = step.communication.reduce((sum, { seconds }) => sum + seconds, 0);
  const covered = (1 - options.overlap) * Math.max(0, all - beyondAssumed(model, options));
  const left = step.computation - covered;
  return left > 0 ? (options.atPeak / options.assumed) * (step.computation / left) : Number.POSITIVE_INFINITY;
}
