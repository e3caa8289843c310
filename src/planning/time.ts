// Question: how long does training take, what does it cost, and how much of that is mHC's?
//
// The baseline's time is its operations (three forward passes, see flops.ts) over the GPUs' peak rate times
// the model FLOP utilisation. That is an assumption and can be set. Its default is what the published cost
// of DeepSeek-V3 comes to (arXiv 2412.19437: 37 billion active parameters, 14.8 trillion tokens, 2.664
// million H800 hours for pre-training) when six operations a parameter and token are counted against the
// bfloat16 peak: 0.35. mHC adds the time of its kernels (roofline.ts), as if nothing overlapped.

import { MOST_COUNT } from "../basics/bounds.ts";
import { expectAmount, expectWhole } from "../basics/ranges.ts";
import { expectFields } from "../basics/fields.ts";

/** The extra training time of mHC at n = 4 that the paper gives, as a fraction (arXiv 2512.24880, 4.3). */
export const PAPER_OVERHEAD = 0.067;

export const DEFAULT_UTILISATION = 0.35;

/** Part of the memory's bandwidth that the connection's kernels reach, unless it is said. */
export const DEFAULT_BANDWIDTH_EFFICIENCY = 1;

/** How long a run takes and what it costs. */
export interface TrainingTime {
  /** GPU seconds a token. */
  readonly secondsPerToken: number;
  /** Undefined when the tokens are not known. */
  readonly gpuHours?: number;
  readonly days?: number;
  /** In the currency of the price; undefined without one. */
  readonly cost?: number;
}

/** GPUs, tokens and price of a run. */
export interface TimeOptions {
  readonly gpus: number;
  readonly tokens?: number;
  /** Of one GPU hour. */
  readonly price?: number;
}

/** Time and cost of a run whose tokens take so many GPU seconds each. */
export function trainingTime(secondsPerToken: number, options: TimeOptions): TrainingTime {
  expectFields("trainingTime", options, { gpus: "number", tokens: "number", price: "number" });
  const { gpus, tokens, price } = options;
  expectAmount("trainingTime", "secondsPerToken", secondsPerToken);
  expectWhole("trainingTime", "gpus", gpus, 1, MOST_COUNT);
  if (tokens !== undefined) expectAmount("trainingTime", "tokens", tokens);
  if (price !== undefined) expectAmount("trainingTime", "price", price);
  if (tokens === undefined) return { secondsPerToken };
  const gpuHours = (secondsPerToken * tokens) / 3600;
  return {
    secondsPerToken,
    gpuHours,
    days: gpuHours / gpus / 24,
    ...(price === undefined ? {} : { cost: gpuHours * price }),
  };
}
