// Question: what does the CPU runtime ask of the place where it runs?
//
// Node and a page load files, count cores and start threads in ways of their own: node/ and page/ each have a host.

import type { Build } from "./module.ts";

/** The most threads of a runtime. */
export const MOST_THREADS = 256;
/** Digits that are kept of the SHA-256 of the kernels' code. */
export const HASH_DIGITS = 12;

/** The compiled kernels. */
export interface KernelCode {
  readonly module: WebAssembly.Module;
  /** The beginning of the SHA-256 of their code; absent where nothing can compute it. */
  readonly hash?: string;
}

/** What a thread must know to take part: all of it can be posted to a worker. */
export interface ThreadStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  readonly threads: number;
  readonly scratch: number;
  readonly panelWidth: number;
}

/** The threads of a runtime beside the calling one. */
export interface Threads {
  /** What has become of a thread that has ended, though nobody told it to, as far as the host has been told. */
  ended(): string | undefined;
  /** The same, but asked for: slower, and right also while the calling thread is busy. */
  askEnded(): string | undefined;
  /** End all of them. */
  stop(): void;
}

/** The place where a runtime runs. */
export interface WasmHost {
  /** Ask the engine for what it has behind a switch, before anything is compiled. */
  prepareEngine(options: { readonly revectorise: boolean }): void;
  loadKernels(build: Build): Promise<KernelCode>;
  /** How many threads there are unless somebody says, how many there may be, and what to do for more. */
  threads(): { readonly usual: number; readonly most: number; readonly remedy: string };
  /** Start one thread for each entry, and wait until all are ready; when one fails the others are ended too. */
  startThreads(each: readonly ThreadStart[]): Promise<Threads>;
  /** Called when kernels have run on the calling thread, before code that does other things. */
  afterKernels?(): void;
  /** What to do where no addresses are left for a memory. */
  readonly memoryRemedy: string;
}

/** The name of a thread in messages; the calling one is the first. */
export const threadName = (index: number, started: number): string => `thread ${index + 2} of ${started + 1}`;

/** What is thrown when threads do not start. */
export function cannotStart(threads: number, cause: unknown, remedy: string): Error {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Error(
    `createWasmRuntime: the CPU runtime could not start its ${threads} threads (${why}). Ask for fewer threads, or ${remedy}.`,
    { cause },
  );
}
