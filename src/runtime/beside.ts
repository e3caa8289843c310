// Question: what does a library need that works on the memory of a runtime's GPU beside it?
//
// A stream of its own, and marks: its stream waits for what the runtime was asked before, and the runtime for what the
// library was. The runtime's orders may still wait for kernels that are being compiled, so what depends on them has its
// turn among them. Addresses and handles are those of the GPU's driver.

import type { Tensor } from "../graph/tensor.ts";

/** A GPU's streams, in each of which orders are done one after another, and marks in them. */
export interface GpuStreams {
  /** Let libraries that this thread calls work on this GPU. */
  makeCurrent(): void;
  createStream(): number;
  destroyStream(stream: number): void;
  createEvent(): number;
  destroyEvent(event: number): void;
  mark(event: number, stream: number): void;
  /** What is ordered in the stream from here on waits for the mark as it was last made. */
  waitForMark(event: number, stream: number): void;
  /** Whether all that was ordered before the mark is done. */
  isReached(event: number): boolean;
  copy(to: number, from: number, bytes: number, stream: number): void;
}

export interface GpuBeside {
  /** The GPU's place on its machine's bus, such as "0000:01:00.0". */
  readonly bus: string;
  readonly driver: GpuStreams;
  /** Where the runtime's own orders go. */
  readonly stream: number;
  /** Do it when all that the runtime was asked for before has been ordered: often at once. Not done once it is closed. */
  inTurn(act: () => void): void;
  /** Order nothing more until the returned function is called; to be asked in a turn. */
  hold(): () => void;
  /** The runtime's results can be trusted no more. */
  fail(error: Error): void;
  /** Where a state's values lie, as long as it is not forgotten. */
  addressOf(state: Tensor): number;
}
