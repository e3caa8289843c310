// Question: how do values come back from the GPU without holding up anything?
//
// The GPU copies them by itself to memory of the processor that does not move. Small ones, such as losses, have places
// there that are used in turn; larger ones get theirs for once. One thread waits, for one mark after another: marks are
// reached in the order in which they were made.

import type { Driver } from "./driver.ts";
import type { Native } from "./native.ts";

const SLOT_BYTES = 2 ** 16;
const SLOTS = 32;

/** Bytes on the GPU. */
export interface Source {
  readonly address: number;
  readonly bytes: number;
}

export interface Readback {
  /** Order the copies: what is there in the stream's turn; the promise has it, or nothing where it was closed before. */
  copy(sources: readonly Source[]): Promise<ArrayBuffer[]>;
  /** All that was ordered must have been done. */
  close(): void;
}

export function createReadback(native: Native, driver: Driver, stream: number): Readback {
  const first = driver.allocateHost(SLOTS * SLOT_BYTES);
  const idle = Array.from({ length: SLOTS }, (_, at) => first + at * SLOT_BYTES);
  const events: number[] = [];
  /** Larger places that the GPU may still write to. */
  const large = new Set<number>();
  let closed = false;
  /** The wait for the latest mark. */
  let latest: Promise<void> = Promise.resolve();
  const reached = (event: number): Promise<void> => {
    const wait = async (): Promise<void> => {
      if (!closed) await driver.reached(event);
    };
    latest = latest.then(wait, wait);
    return latest;
  };
  return {
    async copy(sources) {
      const offsets: number[] = [];
      let total = 0;
      for (const { bytes } of sources) {
        offsets.push(total);
        total += Math.ceil(bytes / 16) * 16;
      }
      const slot = total <= SLOT_BYTES ? idle.pop() : undefined;
      const place = slot ?? driver.allocateHost(Math.max(16, total));
      if (slot === undefined) large.add(place);
      const event = events.pop() ?? driver.createEvent();
      let failed = true;
      try {
        for (const [at, { address, bytes }] of sources.entries())
          driver.copyToHost(place + offsets[at]!, address, bytes, stream);
        driver.mark(event, stream);
        await reached(event);
        failed = false;
        // What the places held is gone with them.
        if (closed) return [];
        return sources.map(({ bytes }, at) => native.copyFrom(place + offsets[at]!, bytes));
      } finally {
        // After a failure the context may be gone, and all of it with it.
        if (!failed && !closed) {
          events.push(event);
          if (slot === undefined) {
            large.delete(place);
            driver.freeHost(place);
          } else idle.push(slot);
        }
      }
    },
    close() {
      closed = true;
      for (const event of events.splice(0)) driver.destroyEvent(event);
      for (const place of [first, ...large]) driver.freeHost(place);
      large.clear();
    },
  };
}
