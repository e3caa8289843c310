// Question: how do the processes of one training talk to each other?
//
// A job has N ranks, from 0, each a process that runs the same command. All of them call the same operations in the
// same order. An operation has only been begun when its function returns: it is done when `done()` resolves, and
// whoever computes meanwhile calls `progress()` now and then, for a message library moves nothing by itself.
//
// What is added up is added in the order of the ranks, ((x₀ + x₁) + x₂) + …, each sum rounded to float32: the same bits
// on every rank, from run to run, and with every library. With one microbatch a rank that is also the order in which
// one process adds its microbatches.

import type { Tensor } from "../../graph/tensor.ts";

/** Values that are sent as they lie: float32, or integers of 32 bits or bytes. */
export type Values = Float32Array | Int32Array | Uint8Array;

/** What goes to each rank, and what comes from each. */
export interface Parts {
  readonly parts: readonly Values[];
  readonly into: readonly Values[];
}

/** An operation that has been begun. What it sends may not change, and what it fills not be read, until it is done. */
export interface Pending {
  /** Whether it is done. Looking moves its messages on. */
  test(): boolean;
  /**
   * Resolves when it is done.
   *
   * @param deadline seconds; default: the collective's
   * @throws CollectiveError when it is not done within the deadline; it names the ranks that were not heard
   */
  done(deadline?: number): Promise<void>;
}

/** What one rank has done and waited for since the job began. */
export interface Traffic {
  readonly sentBytes: number;
  /** Seconds in which `done()` was waited for. */
  readonly waited: number;
}

/** Numbers of a runtime's state, where they lie on its GPU. */
export interface GpuValues {
  readonly state: Tensor;
  /** The first of them. Default 0. */
  readonly from?: number;
  /** How many; by default all from there on. */
  readonly length?: number;
}

/** Numbers on this rank's GPU, and the rank that they go to or come from. */
export interface GpuMessage {
  readonly values: GpuValues;
  readonly rank: number;
}

/**
 * A rank's way from its GPU's memory to that of the others. An operation begins when all is done that the runtime was
 * asked for before; they are done one after another, in the order in which they are asked for, the same on all ranks.
 * Sums are added in an order that the library chooses: the same bits on all ranks, and others than by messages.
 */
export interface GpuCollective {
  /** Such as "NCCL 2.30.7". */
  readonly library: string;
  /** Every rank's values become their sum. */
  allReduce(values: GpuValues): Pending;
  /** Rank q gets the sum of all ranks' parts q; `values` are N parts as long as `into`. */
  reduceScatter(values: GpuValues, into: GpuValues): Pending;
  /** Every rank gets what all have, one after another. */
  allGather(own: GpuValues, into: GpuValues): Pending;
  /** Every rank's values become those of one. */
  broadcast(values: GpuValues, from: number): Pending;
  /** Part q of `values` goes to rank q, and part q of `into` comes from it. */
  allToAll(values: GpuValues, into: GpuValues): Pending;
  /** All of these at once: two ranks that each ask for a message of its own to be sent first would wait for ever. */
  trade(sent: readonly GpuMessage[], received: readonly GpuMessage[]): Pending;
  /** Copy on this rank, in turn with the others' operations. */
  copy(pairs: readonly { readonly from: GpuValues; readonly into: GpuValues }[]): Pending;
  /** What the runtime is asked for from here on waits for all that has been begun here. */
  join(): void;
}

/** One rank's way to the others. */
export interface Collective {
  /** "alone", "mpi", "tcp" or "nccl". */
  readonly name: string;
  /** What carries the messages, such as "Open MPI 4.1.4"; absent alone. */
  readonly library?: string;
  /** Between the memories of GPUs, where each rank has one of its own (nccl/join.ts). */
  readonly gpu?: GpuCollective;
  /** From 0. */
  readonly rank: number;
  /** N, how many ranks there are. */
  readonly size: number;
  /** To one rank, whose `receive`s from this one get the messages in order. */
  send(values: Values, to: number): Pending;
  /** Of as many bytes as were sent. */
  receive(into: Values, from: number): Pending;
  /** Part q of `values` goes to rank q, and part q of `into` comes from it; both are N parts of one size. */
  allToAll(values: Values, into: Values): Pending;
  /**
   * The same with parts of any sizes: `parts[q]` goes to rank q, and `into[q]` comes from it, as long as what q sends. An
   * empty part is not sent. The rank's own part is copied.
   */
  allToAllParts(parts: readonly Values[], into: readonly Values[]): Pending;
  /**
   * The same where no rank knows how much comes: first every rank gets what all say of themselves, `all`, N times as long
   * as `own`; then the parts are asked for.
   */
  allToAllTold(own: Values, all: Values, parts: () => Parts): Pending;
  /** Every rank gets what all have, one after another: `into` is N times as long as `own`. */
  allGather(own: Values, into: Values): Pending;
  /** One rank gets what all have, one after another; the others' `into` stays as it is, and may be empty. */
  gather(own: Values, into: Values, to: number): Pending;
  /** Every rank's `values` become those of one. */
  broadcast(values: Values, from: number): Pending;
  /** Rank q gets the sum of all ranks' parts q; `values` are N parts as long as `into`. */
  reduceScatter(values: Float32Array, into: Float32Array): Pending;
  /** Every rank's `values` become their sum. */
  allReduce(values: Float32Array): Pending;
  /** Done when all ranks have begun it. */
  barrier(): Pending;
  /**
   * A collective of some of these ranks, in the given order. Every rank of this collective makes as many groups, in the
   * same order, each with itself in it; those that make one together name the same ranks. Its messages never mix with
   * others', and `progress` moves everything on.
   *
   * @throws RangeError unless the ranks are different ones of this collective, and this rank is among them; and when a job
   *   has too many groups of two or more
   */
  group(ranks: readonly number[]): Collective;
  /** Move what has been begun on. */
  progress(): void;
  /** Say whether this rank is within a step, where its work must move: who watches the job ends one that hangs. */
  stepping(within: boolean): void;
  readonly traffic: Traffic;
  /** End the whole job at once, with a message that names this rank. The process ends in it. */
  abort(message: string): never;
  /** Wait for all ranks to come here, and leave the job. */
  close(): Promise<void>;
}

/** How long an operation may take. */
export interface CollectiveOptions {
  /** Seconds after which one that is not done fails. Default 1800: a rank may evaluate or save while others wait. */
  readonly deadline?: number;
}

export const DEADLINE = 1800;

/** An operation that did not come to its end. */
export class CollectiveError extends Error {
  /** Those that were not heard. */
  readonly ranks: readonly number[];

  constructor(message: string, ranks: readonly number[]) {
    super(message);
    this.ranks = ranks;
  }
}

/** "rank 1", "ranks 1 and 3". */
export const showRanks = (ranks: readonly number[]): string =>
  `${ranks.length === 1 ? "rank" : "ranks"} ${new Intl.ListFormat("en-GB").format(ranks.map(String))}`;
