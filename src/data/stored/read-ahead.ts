// Question: how does a step get its batch without waiting for the disk?
//
// A thread reads the next batches into slots of shared memory before they are asked for. A batch that is there is
// copied from its slot; one that is not there yet is read by the caller itself, which never waits for the thread. A
// batch is a function of its step and microbatch, so both ways give the same tokens.
//
//   memory   control: Int32 [NEXT, SIGNAL], then for each slot its state and the number of its batch
//            slots:   tokens [B T] and targets [B T], Int32
//
// Batches are numbered step · A + microbatch, of A microbatches a step. The caller says in NEXT which it takes; the
// thread keeps NEXT to NEXT + slots - 1 filled, batch i in slot i mod slots, and sleeps at SIGNAL when all are. A slot
// is claimed before it is read or filled, by one exchange of its state, so that neither sees the other's half.

import { Worker } from "node:worker_threads";
import type { Batch, Batches, BatchOptions } from "../batches.ts";

/** What the thread is told: where the prepared data lies, and how batches are made of it. */
export interface AheadData {
  readonly folder: string;
  readonly options: Pick<BatchOptions, "batchSize" | "contextLength" | "seed" | "shuffle" | "trainingShare">;
  /** A, microbatches of a step. */
  readonly accumulate: number;
  readonly slots: number;
  readonly memory: SharedArrayBuffer;
}

export const places = { next: 0, signal: 1, states: 2 } as const;
export const states = { empty: 0, filling: 1, ready: 2, taking: 3 } as const;

/** The parts of the shared memory. */
export function aheadMemory({ memory, slots, options: { batchSize, contextLength } }: AheadData): {
  readonly control: Int32Array;
  readonly tokensOf: (slot: number) => Int32Array;
  readonly targetsOf: (slot: number) => Int32Array;
} {
  const size = batchSize * contextLength;
  const control = new Int32Array(memory, 0, places.states + 2 * slots);
  const part = (index: number): Int32Array => new Int32Array(memory, control.byteLength + 4 * size * index, size);
  return { control, tokensOf: (slot) => part(2 * slot), targetsOf: (slot) => part(2 * slot + 1) };
}

const SLOTS = 8;
/** Batches larger than this take more memory ahead than they save time. */
const MOST_BYTES = 2 ** 26;
const MOST_NUMBER = 2 ** 31 - 1;

/** Batches that are read ahead; `close` them when done. */
export interface BatchesAhead extends Batches {
  /** How many batches were there when they were asked for, and how many were not. */
  readonly counts: { readonly ahead: number; readonly late: number };
  close(): void;
}

/**
 * Read training batches ahead, by a thread of its own.
 *
 * @param batches the same batches, read by the caller
 * @param folder that `prepareData` made
 */
export function readAhead(
  batches: Batches,
  folder: string,
  options: AheadData["options"],
  accumulate: number,
): BatchesAhead {
  const bytes = 8 * options.batchSize * options.contextLength;
  const slots = Math.max(2, Math.min(SLOTS, Math.floor(MOST_BYTES / bytes)));
  const memory = new SharedArrayBuffer(4 * (places.states + 2 * slots) + slots * bytes);
  const data: AheadData = { folder, options, accumulate, slots, memory };
  const { control, tokensOf, targetsOf } = aheadMemory(data);
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`./read-ahead-worker.${extension}`, import.meta.url), { workerData: data });
  // What it cannot read the caller cannot either, and then says so.
  worker.on("error", () => {});
  worker.unref();
  const counts = { ahead: 0, late: 0 };

  const taken = (number: number): Batch | undefined => {
    const slot = number % slots;
    const state = places.states + 2 * slot;
    if (Atomics.compareExchange(control, state, states.ready, states.taking) !== states.ready) return undefined;
    const batch =
      control[state + 1] === number ? { tokens: tokensOf(slot).slice(), targets: targetsOf(slot).slice() } : undefined;
    Atomics.store(control, state, states.ready);
    return batch;
  };
  return {
    batchSize: batches.batchSize,
    contextLength: batches.contextLength,
    validationCount: batches.validationCount,
    validationBatches: () => batches.validationBatches(),
    counts,
    trainingBatch(step, microbatch = 0) {
      const number = step * accumulate + microbatch;
      if (number >= MOST_NUMBER) return batches.trainingBatch(step, microbatch);
      const there = taken(number);
      Atomics.store(control, places.next, number + (there ? 0 : 1));
      Atomics.add(control, places.signal, 1);
      Atomics.notify(control, places.signal);
      if (there) counts.ahead++;
      else counts.late++;
      return there ?? batches.trainingBatch(step, microbatch);
    },
    close() {
      worker.removeAllListeners();
      void worker.terminate();
    },
  };
}
