// Question: what does a run record of each step and of each alarm?
//
// Metrics, one line a step of metrics.jsonl; alarms, events.jsonl; what the instruments saw, gains.jsonl and
// mixing.jsonl (stability/instruments.ts). The tables are also how these are shown and exported.

import type { Recorded, TableOf } from "../stability/fields.ts";
import type { Instruments } from "../stability/instruments.ts";

const metrics = {
  loss: {
    title: "Training loss",
    unit: "nats/token",
    about: "mean over the step's batch",
    shape: "number",
    always: true,
    scalars: [
      {
        curve: { name: "loss", smooth: true, place: 1 },
        tensorboard: "loss/train",
        prometheus: { name: "loss", help: "Training loss of the last step, nats a token." },
      },
    ],
  },
  gradientNorm: {
    title: "Gradient norm",
    about: "Euclidean norm of all gradients, before clipping",
    shape: "number",
    always: true,
    scalars: [
      {
        curve: { name: "gradientNorm", note: "before clipping", logarithmic: true, smooth: true, place: 4 },
        tensorboard: "gradient/norm",
        prometheus: { name: "gradient_norm", help: "Norm of all gradients of the last step, before clipping." },
      },
    ],
  },
  learningRate: {
    title: "Learning rate",
    about: "that of the step",
    shape: "number",
    always: true,
    scalars: [
      {
        curve: { name: "learningRate", place: 7 },
        tensorboard: "rate",
        prometheus: { name: "learning_rate", help: "Learning rate of the last step." },
      },
    ],
  },
  tokensPerSecond: {
    title: "Speed",
    unit: "tokens/s",
    about: "tokens that the step trained on, a second",
    shape: "number",
    always: true,
    scalars: [
      {
        curve: { name: "tokensPerSecond", smooth: true, place: 8 },
        tensorboard: "speed/tokens_per_second",
        prometheus: { name: "tokens_per_second", help: "Tokens trained on a second, of the last step." },
      },
    ],
  },
  seconds: {
    title: "Time",
    unit: "s",
    about: "since the run began, without the times when it was stopped",
    shape: "number",
    always: true,
    scalars: [
      {
        prometheus: {
          name: "seconds",
          help: "Seconds of training, without the times when the run was stopped.",
        },
      },
    ],
  },
  validationLoss: {
    title: "Validation loss",
    unit: "nats/token",
    about: "on text that is not trained on, at the steps where it was measured",
    shape: "number",
    scalars: [
      {
        curve: { name: "validationLoss", place: 2 },
        tensorboard: "loss/validation",
        prometheus: { name: "validation_loss", help: "Last validation loss, nats a token." },
      },
    ],
  },
  bitsPerByte: {
    title: "Validation loss",
    unit: "bits/byte",
    about: "the same for a byte of the text, whatever the tokenizer",
    shape: "number",
    scalars: [
      {
        curve: { name: "bitsPerByte", place: 3 },
        tensorboard: "loss/bits_per_byte",
        prometheus: { name: "bits_per_byte", help: "Last validation loss, bits a byte." },
      },
    ],
  },
  memory: {
    title: "Memory",
    unit: "MiB",
    about: "of the whole process after the step, with all runs that it trains",
    shape: "number",
    scalars: [
      {
        curve: { name: "memory", note: "MiB, whole process", place: 10 },
        tensorboard: "memory/process_mib",
        prometheus: { name: "memory_mib", help: "Memory of the process that trains the run, MiB, at the last step." },
      },
    ],
  },
  expertLoad: {
    title: "Load of the experts",
    unit: "tokens",
    about: "tokens of each expert in the step's batch, for each layer with a mixture of experts in order of depth",
    shape: "vectors",
    scalars: [
      { take: "imbalance", curve: { name: "expertImbalance", note: "busiest expert / mean", smooth: true, place: 11 } },
    ],
  },
  rankSpeed: {
    title: "Speed of the slowest process",
    unit: "tokens/s",
    about:
      "of a training that several processes share: tokens of its own rows that each rank trained on a second, without the time in which it waited for others",
    shape: "list",
    scalars: [
      {
        take: "smallest",
        curve: { name: "rankSpeed", note: "tokens/s, without waiting", smooth: true, place: 12 },
        tensorboard: "ranks/slowest_tokens_per_second",
        prometheus: {
          name: "rank_slowest_tokens_per_second",
          help: "Tokens a second of the slowest rank, without waiting, of the last step.",
        },
      },
    ],
  },
  rankWaiting: {
    title: "Waiting",
    unit: "s",
    about: "seconds of the step in which each rank waited for others",
    shape: "list",
    scalars: [
      {
        take: "largest",
        curve: { name: "rankWaiting", note: "s a step, the rank that waits longest", smooth: true, place: 13 },
        tensorboard: "ranks/longest_wait_seconds",
        prometheus: {
          name: "rank_longest_wait_seconds",
          help: "Seconds of the last step in which the rank that waited longest waited for others.",
        },
      },
    ],
  },
  rankSent: {
    title: "Messages",
    unit: "MiB",
    about: "what each rank sent to others in the step",
    shape: "list",
    scalars: [
      {
        take: "largest",
        curve: { name: "rankSent", note: "MiB a step, of one process" },
        tensorboard: "ranks/sent_mib",
        prometheus: { name: "rank_sent_mib", help: "MiB that the rank which sent most sent in the last step." },
      },
    ],
  },
  rankMemory: {
    title: "Memory of ranks",
    unit: "bytes",
    about: "what the memory of each rank's runtime has grown to, as `birkhoff plan --mesh` predicts it",
    shape: "list",
    scalars: [
      {
        take: "largest",
        tensorboard: "ranks/memory_bytes",
        prometheus: { name: "rank_memory_bytes", help: "Bytes of the runtime of the rank that has most." },
      },
    ],
  },
} as const;

const events = {
  rule: { title: "Rule", about: 'name of the rule, such as "gain" or "not-finite"', shape: "text", always: true },
  action: { title: "Action", about: "what was done: continue, stop or rollback", shape: "action", always: true },
  value: { title: "Value", about: "what was measured", shape: "number" },
  bound: { title: "Bound", about: "what it passed", shape: "number" },
  sublayer: { title: "Sublayer", about: "position in the network, from 0", shape: "count" },
  rollback: {
    title: "Rollback",
    about: "after one: the step it went back to, and the factor of the learning rate since",
    shape: "rollback",
    csv: { rollbackStep: "step", rateFactor: "rateFactor" },
  },
  message: {
    title: "Message",
    about: "one line: what was seen, the likely cause and the remedy",
    shape: "text",
    always: true,
  },
} as const;

/** The types of the tables, to tell names and shapes by. */
export type MetricTable = typeof metrics;
type EventTable = typeof events;

/** A line of metrics.jsonl: one step. docs/instruments.md says what each field is. */
export type MetricRecord = { readonly step: number } & Recorded<MetricTable>;

/** What the instruments saw at one step: a line of gains.jsonl, and of mixing.jsonl where streams are mixed. */
export type GainRecord = { readonly step: number } & Instruments;

/** A line of events.jsonl: an alarm, and what was done. */
export type EventRecord = { readonly step: number } & Recorded<EventTable>;

/** The name of a metric. */
export type MetricName = keyof MetricTable;

/** What every step records, in the order of the columns of metrics.csv. */
export const metricFields: TableOf<MetricTable> = metrics;

/** What an alarm records, in the order of the columns of events.csv. */
export const eventFields: TableOf<EventTable> = events;
