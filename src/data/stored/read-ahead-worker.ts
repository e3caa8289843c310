// Question: what does the thread of read-ahead.ts do? It keeps the slots of the next batches filled.

import { workerData } from "node:worker_threads";
import { createBatches } from "../batches.ts";
import { type AheadData, aheadMemory, places, states } from "./read-ahead.ts";
import { openStoredData } from "./stored-data.ts";

const data = workerData as AheadData;
const { control, tokensOf, targetsOf } = aheadMemory(data);
const { train, validation, tokenizer } = openStoredData(data.folder);
const batches = createBatches({ ...data.options, train, validation, byteLengths: tokenizer.byteLengths });

/** Fill the slot of a batch, unless it holds it or the caller is at it. */
function fill(number: number): void {
  const slot = number % data.slots;
  const state = places.states + 2 * slot;
  const was = Atomics.load(control, state);
  if (was === states.taking || (was === states.ready && control[state + 1] === number)) return;
  if (Atomics.compareExchange(control, state, was, states.filling) !== was) return;
  const { tokens, targets } = batches.trainingBatch(Math.floor(number / data.accumulate), number % data.accumulate);
  tokensOf(slot).set(tokens);
  targetsOf(slot).set(targets);
  control[state + 1] = number;
  Atomics.store(control, state, states.ready);
}

for (;;) {
  const signal = Atomics.load(control, places.signal);
  const next = Atomics.load(control, places.next);
  for (let ahead = 0; ahead < data.slots; ahead++) {
    fill(next + ahead);
    // The caller has gone on meanwhile: what it takes next comes first.
    if (Atomics.load(control, places.signal) !== signal) break;
  }
  Atomics.wait(control, places.signal, signal);
}
