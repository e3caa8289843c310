// Question: what is kept of what programs make of parameters alone, and when is it made again?
//
// A preparing call, such as one that packs a matrix, becomes a program of its own. Its result has a place of its own for
// as long as a program reads it, and is made when it is stale: at first, and after the parameter has changed. A parameter
// that was handed out to be looked at may change at any time: what is made of it is stale at every run.

import { type Buffer, type Call, type Phase, reads, sumBytes, writes } from "../plan/calls.ts";
import { type Place, programSize } from "./encode.ts";
import type { Heap } from "./heap.ts";

/** More is not kept: it is made again in each run, in the arena. */
const MOST_BYTES = 2 ** 30;

/** What is asked of whoever has the memory. */
export interface ProgramActions {
  /** The words of a program that lies there for good, at `base`. */
  write(phases: readonly Phase[], base: number, placeOf: (buffer: Buffer) => Place): void;
  /** A program that was written there is no more. */
  drop(base: number): void;
}

/** A result that is kept. */
interface Kept {
  readonly buffer: Buffer;
  readonly address: number;
  /** Where the words lie of the program that makes it. */
  readonly base: number;
  /** The parameters that it is made of. */
  readonly sources: readonly Buffer[];
  /** Whether it is to be made before it is read. */
  stale: boolean;
  /** How many programs read it. */
  users: number;
}

/** What the programs of a runtime have prepared. */
export interface Preparations {
  /** What is prepared for one program. */
  enter(): OwnPreparations;
  /** A state has changed. */
  changed(state: Buffer): void;
  /** Its memory was handed out: it may change unseen. */
  exposed(state: Buffer): void;
}

/** Of one program. */
export interface OwnPreparations {
  /** Where the result of a call is kept; undefined when there is no room. */
  prepare(call: Call): Buffer | undefined;
  /** The programs to run before this one, because their results are stale; from now on these are not. */
  takeStale(): number[];
  /** Give up what no other program has. */
  leave(): void;
}

/**
 * @param addresses where states and kept results lie; those made here are added
 * @param write puts the words of a program at its base; drop tells that it is no more
 */
export function createPreparations(
  heap: Heap,
  addresses: Map<Buffer, number>,
  { write, drop }: ProgramActions,
): Preparations {
  const kept = new Map<string, Kept>();
  const addressOf = (state: Buffer): number => addresses.get(state)!;
  const seen = new WeakSet<Buffer>();
  const placeOf = (buffer: Buffer): Place => ({ address: addressOf(buffer) });

  const make = (call: Call, sources: readonly Buffer[]): Kept | undefined => {
    const { buffer } = writes(call)[0]!;
    if (sumBytes([...kept.values()].map((each) => each.buffer)) + buffer.bytes > MOST_BYTES) return undefined;
    const address = heap.allocate(buffer.bytes);
    addresses.set(buffer, address);
    const phases = [[{ domain: call.domain ?? 1, grain: call.grain, calls: [call] }]];
    let base: number;
    try {
      base = heap.allocate(4 * programSize(phases, placeOf));
    } catch (error) {
      addresses.delete(buffer);
      heap.release(address);
      throw error;
    }
    write(phases, base, placeOf);
    return { buffer, address, base, sources, stale: true, users: 0 };
  };

  const changed = (state: Buffer): void => {
    for (const one of kept.values()) if (one.sources.includes(state)) one.stale = true;
  };

  return {
    enter() {
      const own = new Map<string, Kept>();
      return {
        prepare(call) {
          const sources = reads(call).map(({ buffer }) => buffer);
          const key = JSON.stringify([call.kernel, call.domain, call.words, sources.map(addressOf)]);
          const one = own.get(key) ?? kept.get(key) ?? make(call, sources);
          if (!one) return undefined;
          kept.set(key, one);
          if (!own.has(key)) one.users++;
          own.set(key, one);
          return one.buffer;
        },
        takeStale() {
          const stale = [...own.values()].filter((one) => one.stale);
          for (const one of stale) one.stale = one.sources.some((source) => seen.has(source));
          return stale.map(({ base }) => base);
        },
        leave() {
          for (const [key, one] of own) {
            if (--one.users > 0) continue;
            kept.delete(key);
            addresses.delete(one.buffer);
            drop(one.base);
            heap.release(one.base);
            heap.release(one.address);
          }
          own.clear();
        },
      };
    },
    changed,
    exposed(state) {
      seen.add(state);
      changed(state);
    },
  };
}
