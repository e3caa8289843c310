// Question: how do values come back from the GPU?
//
// By copies into buffers that the processor can see. Reads that are asked for one after the other share such a buffer
// and one wait; small buffers are used again. Whoever waits for a read waits for nothing that was ordered after it.

import type { Place } from "../gpu/memory.ts";
import type { Orders } from "./orders.ts";

/** Parts of buffers that are read together. */
export interface Reading {
  /** Where they are, when it has its turn; throws what the read is to reject with. */
  places(): readonly Place<GPUBuffer>[];
  /** Whether they are set to zeros once they are read. */
  readonly wipes?: boolean;
}

export interface Reads {
  /** The bytes of each part, as they were when this was asked for. */
  read(reading: Reading): Promise<ArrayBuffer[]>;
  /** Encode the copies of all reads that have had their turn: what is encoded after it changes nothing of them. */
  encode(): void;
  /** After a submission: wait for what it copies. */
  submitted(): void;
}

export interface ReadActions {
  readonly orders: Pick<Orders, "give" | "encoder">;
  create(bytes: number): GPUBuffer;
  destroy(buffer: GPUBuffer): void;
  /** What a read rejects with when its bytes do not come back. */
  lost(cause: unknown): Promise<Error>;
  /** What is wrong with the runtime, if anything is. */
  problem(): Error | undefined;
}

interface Waiting {
  readonly places: readonly Place<GPUBuffer>[];
  readonly wipes: boolean;
  resolve(values: ArrayBuffer[]): void;
  reject(error: unknown): void;
}

const MAP_READ = 1;
/** Copies begin at multiples of this. */
const ALIGNMENT = 8;
/** Buffers of this size are kept for later reads, so many of them. */
const SMALL = 4096;
const KEPT = 4;

export function createReads({ orders, create, destroy, lost, problem }: ReadActions): Reads {
  let turned: Waiting[] = [];
  let encoded: { readonly staging: GPUBuffer; readonly waiting: readonly Waiting[] }[] = [];
  const free: GPUBuffer[] = [];
  const lengthOf = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

  const handOut = async (staging: GPUBuffer, waiting: readonly Waiting[]): Promise<void> => {
    try {
      await staging.mapAsync(MAP_READ);
    } catch (cause) {
      const error = await lost(cause);
      for (const { reject } of waiting) reject(error);
      return;
    }
    const bytes = staging.getMappedRange();
    let at = 0;
    for (const { places, resolve } of waiting)
      resolve(
        places.map(({ bytes: size }) => {
          const part = bytes.slice(at, at + size);
          at += lengthOf(size);
          return part;
        }),
      );
    staging.unmap();
    if (staging.size === SMALL && free.length < KEPT) free.push(staging);
    else destroy(staging);
  };
  return {
    read: ({ places, wipes = false }) =>
      new Promise((resolve, reject) => {
        orders.give(() => {
          try {
            const broken = problem();
            if (broken) throw broken;
            turned.push({ places: places(), wipes, resolve, reject });
            // Asks for a submission: a read may be all there is.
            orders.encoder();
          } catch (error) {
            reject(error);
          }
        });
      }),
    encode() {
      if (turned.length === 0) return;
      const waiting = turned;
      turned = [];
      const total = waiting.reduce((sum, { places }) => places.reduce((s, { bytes }) => s + lengthOf(bytes), sum), 0);
      const staging = total <= SMALL ? (free.pop() ?? create(SMALL)) : create(total);
      const encoder = orders.encoder();
      let at = 0;
      for (const { places, wipes } of waiting) {
        for (const { gpu, offset, bytes } of places) {
          encoder.copyBufferToBuffer(gpu, offset, staging, at, bytes);
          at += lengthOf(bytes);
          if (wipes) encoder.clearBuffer(gpu, offset, bytes);
        }
      }
      encoded.push({ staging, waiting });
    },
    submitted() {
      const sent = encoded;
      encoded = [];
      for (const { staging, waiting } of sent) void handOut(staging, waiting);
    },
  };
}
