// Question: what does a run record of each step?

import type { Instruments } from "../stability/instruments.ts";

/** A line of metrics.jsonl: one step. */
export interface MetricRecord {
  readonly step: number;
  /** Mean over the step's batch, in nats a token. */
  readonly loss: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly tokensPerSecond: number;
  /** Since the run began, without the times when it was stopped. */
  readonly seconds: number;
  /** On the validation text, in nats a token, at the steps where it was measured. */
  readonly validationLoss?: number;
  readonly bitsPerByte?: number;
  /** Tokens of each expert in the step's batch, for each layer with a mixture of experts in order of depth. */
  readonly expertLoad?: readonly (readonly number[])[];
}

/** A line of gains.jsonl: what the instruments saw at one step. */
export type GainRecord = { readonly step: number } & Instruments;

/** A line of events.jsonl: an alarm, and what was done. */
export interface EventRecord {
  readonly step: number;
  /** Name of the rule, such as "gain" or "not-finite". */
  readonly rule: string;
  /** One line: what was seen, the likely cause and the remedy. */
  readonly message: string;
  readonly value?: number;
  readonly bound?: number;
  /** Position in the network, from 0. */
  readonly sublayer?: number;
  readonly action: "continue" | "stop" | "rollback";
  /** After a rollback: the step it went back to, and the factor of the learning rate since. */
  readonly rollback?: { readonly step: number; readonly rateFactor: number };
}
