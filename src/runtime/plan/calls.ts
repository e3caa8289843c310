// Question: what does a graph look like to a machine?
//
// A list of kernel calls on buffers. Every buffer is written by exactly one call. The work of a call
// is a domain of items (token rows, tiles, heads) that is cut into tasks of `grain` items. An operand
// is `aligned` when a task with items [begin, end) touches only the same share of the buffer: then two
// calls over one domain can run back to back on a tile without waiting for the others.

import type { StateAttributes } from "../../graph/state.ts";
import type { Tensor } from "../../graph/tensor.ts";

export interface Buffer {
  readonly name: string;
  readonly bytes: number;
  /** Present when the buffer outlives the program (parameters, moments, inputs). */
  readonly state?: StateAttributes | undefined;
}

/** Bytes of all buffers together. */
export function sumBytes(buffers: Iterable<Buffer>): number {
  return [...buffers].reduce((sum, { bytes }) => sum + bytes, 0);
}

export interface Operand {
  readonly buffer: Buffer;
  readonly access: "read" | "write";
  readonly aligned: boolean;
}

/** A scalar argument: an i32, an f32, or something known only once the call's domain is. */
export type Word = { readonly i32: number } | { readonly f32: number } | { readonly itemOf: Buffer };

export interface Call {
  readonly kernel: string;
  /** Operation and scope, for plans and messages. */
  readonly label: string;
  /** Number of items; undefined when any cut of the elements will do (elementwise work). */
  readonly domain: number | undefined;
  readonly grain: number;
  /** How many elements the work has, where the domain is undefined; default: as many as its first result has words. */
  readonly elements?: number;
  /** In the order of the kernel's arguments; undefined is a null pointer. */
  readonly operands: readonly (Operand | undefined)[];
  readonly words: readonly Word[];
  /** Pairs [read, write] of operand positions that may share one buffer. */
  readonly inPlace: readonly (readonly [number, number])[];
  readonly flops: number;
  /** Must be written in an earlier phase, though the call does not read it. */
  readonly after?: Buffer | undefined;
  /** Runs when a call that needs its result does, in that call's chain, rather than as early as it can. */
  readonly lazy?: boolean;
  /**
   * So cheap that every chain which needs the result makes its own (one input, one output, row by row):
   * the result then never leaves the cache.
   */
  readonly repeated?: boolean;
  /** Never done ahead of the calls that read it, though it may need only states. */
  readonly stays?: boolean;
  /** It makes its one result of states alone, in a form that is worth keeping where they seldom change. */
  readonly prepares?: boolean;
  /** What only the machine understands, such as the text of a kernel that is made for this call. */
  readonly work?: object;
}

/** Calls that run back to back on each task. */
export interface Group {
  readonly domain: number;
  readonly grain: number;
  readonly calls: readonly Call[];
}

/** Groups between two barriers: independent of each other. */
export type Phase = readonly Group[];

/** The phases in which a buffer is live. */
export interface Life {
  readonly first: number;
  last: number;
}

/** Where every buffer lives that is no state. */
export interface ArenaPlan {
  /** Byte offset in the arena of every buffer that is neither state nor local. */
  readonly offsets: ReadonlyMap<Buffer, number>;
  readonly bytes: number;
  /** Buffers that live within one chain: each thread keeps only the rows of the tile it works on. */
  readonly locals: ReadonlyMap<Buffer, Local>;
  /** Phases in which a buffer is live; buffers that share storage share one entry. */
  readonly lives: ReadonlyMap<Buffer, Life>;
  /** Buffers that live in another's place: an output written over an input, or a state's new value. */
  readonly sharing: ReadonlyMap<Buffer, Buffer>;
}

/** What a graph has become: kernel calls in phases, and a place for every buffer. */
export interface CompiledPlan {
  readonly phases: readonly Phase[];
  /** The calls of all phases, in order. */
  readonly calls: readonly Call[];
  readonly arena: ArenaPlan;
  /** What to read after a run: the buffer of every output. */
  readonly outputs: ReadonlyMap<Tensor, Buffer>;
  /** Where a tensor of the graph is. */
  bufferOf(tensor: Tensor): Buffer;
}

/** A place in a thread's own memory for the rows of one tile. */
export interface Local {
  readonly offset: number;
  readonly rowBytes: number;
}

export function reads(call: Call): Operand[] {
  return call.operands.filter((operand) => operand?.access === "read") as Operand[];
}

export function writes(call: Call): Operand[] {
  return call.operands.filter((operand) => operand?.access === "write") as Operand[];
}
