// Question: what must be known of a device to plan a program for it?
//
// Numbers only, so that one plan serves every machine. Some of them decide results to the last bit (the rows of a
// tile are the rows of a partial sum); threads never do.

/** A device in numbers. Sizes are in bytes. */
export interface Device {
  /** What works at the same time: threads of a CPU. No result depends on it. */
  readonly threads: number;
  /** Columns of a packed panel of a matrix product. */
  readonly panelWidth: number;
  /** Rows of a tile; calls over the same tiles run back to back as a chain. */
  readonly rowTile: number;
  /** Elements of an item when elementwise work is cut on its own. */
  readonly elementBlock: number;
  /** What each thread has for buffers that live within one chain; 0: there are none. */
  readonly localBytes: number;
  /** Offsets of local buffers are multiples of this. */
  readonly localAlignment: number;
  /** A call with local buffers has at most so many arguments. */
  readonly localArguments: number;
  /** Offsets of buffers in the arena are multiples of this. */
  readonly alignment: number;
  /** Kernels may read (never write) this far past the end of a buffer. */
  readonly padding: number;
  /** No buffer of the arena crosses a multiple of this; absent where the arena is one piece. */
  readonly arenaPage?: number;
  /** All that states, arena and programs may take together. */
  readonly largestMemory: number;
}
