// Question: what does a run record of a step?
//
// Rounded where the files are: who shows a record while it trains and who reads it later see the same.

import { given } from "../basics/given.ts";
import { type Instruments, rounded } from "../stability/instruments.ts";
import type { Evaluation } from "./evaluation.ts";
import type { GainRecord, MetricRecord } from "./records.ts";
import type { StepResult } from "./trainer.ts";

/** What a record of a step has besides what the step told. */
export interface Besides {
  /** Seconds of all steps before. */
  readonly secondsBefore: number;
  readonly evaluation?: Evaluation | undefined;
  /** Of the process, MiB. */
  readonly memory?: number;
}

/** A line of metrics.jsonl. */
export function metricRecord(result: StepResult, { secondsBefore, evaluation, memory }: Besides): MetricRecord {
  return {
    step: result.step,
    loss: result.loss,
    gradientNorm: result.gradientNorm,
    learningRate: result.learningRate,
    tokensPerSecond: result.tokens / result.seconds,
    seconds: secondsBefore + result.seconds,
    ...given({ memory, expertLoad: result.expertLoad, ...ranksOf(result) }),
    ...evaluationFields(evaluation),
  };
}

/** What metrics.jsonl says of the ranks of a training that several share. */
const ranksOf = ({ ranks }: StepResult): Pick<MetricRecord, "rankSpeed" | "rankWaiting" | "rankSent" | "rankMemory"> =>
  ranks
    ? {
        rankSpeed: ranks.map(({ tokensPerSecond }) => Math.round(tokensPerSecond)),
        rankWaiting: ranks.map(({ waited }) => Number(waited.toFixed(4))),
        rankSent: ranks.map(({ sentBytes }) => Number((sentBytes / 2 ** 20).toFixed(3))),
        ...(ranks.every(({ memoryBytes }) => memoryBytes !== undefined)
          ? { rankMemory: ranks.map(({ memoryBytes }) => memoryBytes!) }
          : {}),
      }
    : {};

/** What metrics.jsonl says of an evaluation. */
export const evaluationFields = (
  evaluation: Evaluation | undefined,
): Pick<MetricRecord, "validationLoss" | "bitsPerByte"> =>
  given({ validationLoss: evaluation?.loss, bitsPerByte: evaluation?.bitsPerByte });

/** A line of gains.jsonl, with the matrices of mixing.jsonl. */
export const gainRecord = (step: number, instruments: Instruments): GainRecord => ({ step, ...rounded(instruments) });
