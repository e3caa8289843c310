// Question: what computes a program: which memory, which kernels, which threads?
//
// One shared memory holds everything, and every thread has an instance of the kernels over it. The engine knows
// addresses only; which tensors lie there the runtime knows. A run is one call: the threads replay the words of a
// program, JavaScript only starts them.

import { cpuDevice, MAXIMUM_PAGES, PAGE } from "./device.ts";
import { recordTrap, type Watch, watchThreads } from "./failures.ts";
import { createHeap, type Heap } from "./heap.ts";
import { CONTROL_BYTES, CONTROL_ENDED, CONTROL_OPENED } from "./constants.ts";
import { type Threads, type WasmHost } from "./host.ts";
import { reserve, STATIC_BYTES } from "./layout.ts";
import { type Build, hasRelaxedSimd, instantiate } from "./module.ts";
import { probePanelWidth } from "./probe.ts";

/** How the engine uses the machine. */
export interface EngineOptions {
  readonly threads: number;
  readonly revectorise?: boolean;
  readonly build?: Build;
}

/** Memory, kernels and threads. */
export interface Engine {
  readonly build: Build;
  /** The beginning of the SHA-256 of the kernels' code. */
  readonly kernelCode: string | undefined;
  readonly panelWidth: number;
  readonly memory: WebAssembly.Memory;
  /** The free addresses of the memory, which grows with it. */
  readonly heap: Heap;
  /** Of the thread that runs programs. */
  readonly scratch: number;
  /** The kernels by their places in the function table. */
  readonly kernels: readonly string[];
  /** Make the memory at least so long. */
  reach(bytes: number): void;
  /** Throw when a thread has failed or ended. */
  expectSound(): void;
  /** Do work of the threads, and throw what went wrong in one of them; the calls give it names. */
  over: Watch["over"];
  /**
   * Replay the program at an address on all threads.
   *
   * @param meanwhile called after each task of the calling thread, where the program is an interrupted one; it runs none
   */
  run(base: number, meanwhile?: () => void): void;
  /**
   * Let the other threads begin to replay the program at an address. Nothing else may be asked of them before the end of
   * what this returns, which takes part in the rest; where there are no others it does everything.
   */
  begin(base: number): () => void;
  /** One call on one task, on this thread alone. */
  runTask(task: { readonly record: number; readonly begin: number; readonly end: number }): void;
  /** End all threads. */
  stop(): void;
}

/**
 * How many threads are asked for, or fit here.
 *
 * @throws RangeError when there cannot be so many
 */
export function chooseThreads(host: WasmHost, asked: number | undefined): number {
  const { usual, most, remedy } = host.threads();
  const threads = asked ?? usual;
  if (Number.isInteger(threads) && threads >= 1 && threads <= most) return threads;
  const allowed = most === 1 ? "it can only be 1" : `it must be a whole number from 1 to ${most}`;
  throw new RangeError(`createWasmRuntime: threads is ${threads}; ${allowed}. ${remedy}`);
}

/** Start threads over a new memory. */
export async function startEngine(host: WasmHost, options: EngineOptions): Promise<Engine> {
  const { threads, revectorise = true } = options;
  host.prepareEngine({ revectorise });
  const build = options.build ?? (hasRelaxedSimd() ? "relaxed" : "simd");
  const { module, hash } = await host.loadKernels(build);
  const { memory, maximum } = reserveMemory(host);
  const grow = (bytes: number): void => reach(memory, maximum, bytes);
  const heap = createHeap(STATIC_BYTES, grow);
  const { control, scratch, probe } = reserve(heap, cpuDevice({ threads, panelWidth: 16 }));
  let others: Threads | undefined;
  /** A thread that has ended does not finish its task: the others are not to wait for it. */
  const look = (): void => {
    const ended = others?.askEnded();
    if (ended !== undefined) recordTrap(memory, control, 0, new Error(ended));
  };
  const afterKernels = (): void => host.afterKernels?.();
  const turns = createTurns(afterKernels);
  const { exports, names } = instantiate(module, memory, look, turns.take);
  const panelWidth = build === "simd" ? 8 : probePanelWidth(exports, memory, probe).panelWidth;
  exports.setPanelWidth(panelWidth);
  afterKernels();
  const [own = 0, ...otherScratch] = scratch;
  others = await host.startThreads(
    otherScratch.map((each) => ({ module, memory, control, threads, scratch: each, panelWidth })),
  );
  const watch = watchThreads(memory, control, exports.currentCall);
  return {
    build,
    kernelCode: hash,
    panelWidth,
    memory,
    heap,
    scratch: own,
    kernels: names,
    reach: grow,
    expectSound: () => watch.expectSound(others.ended()),
    over(calls, work, begun) {
      try {
        return watch.over(calls, work, begun);
      } finally {
        afterKernels();
      }
    },
    run: (base, meanwhile) => turns.over(meanwhile, () => exports.startProgram(control, base, threads, own)),
    begin(base) {
      if (threads === 1) return () => exports.startProgram(control, base, threads, own);
      exports.openProgram(control, base, 0);
      return () => exports.joinProgram(control, own);
    },
    runTask: ({ record, begin, end }) => exports.runOne(control, record, begin, end, own),
    stop() {
      if (threads > 1) {
        const words = new Int32Array(memory.buffer, control, CONTROL_BYTES / 4);
        Atomics.store(words, CONTROL_ENDED / 4, 1);
        Atomics.add(words, CONTROL_OPENED / 4, 1);
        Atomics.notify(words, CONTROL_OPENED / 4);
      }
      others.stop();
    },
  };
}

/**
 * The host's turns within a program. What one throws waits for the end: the other threads are still at their tasks.
 *
 * @param before called before each turn
 */
function createTurns(before: () => void): {
  take(): void;
  over(meanwhile: (() => void) | undefined, work: () => void): void;
} {
  let current: (() => void) | undefined;
  let failure: { readonly error: unknown } | undefined;
  return {
    take() {
      if (!current || failure) return;
      try {
        before();
        current();
      } catch (error) {
        failure = { error };
      }
    },
    over(meanwhile, work) {
      current = meanwhile;
      failure = undefined;
      try {
        work();
      } finally {
        current = undefined;
      }
      // A function's assignment is not seen by the compiler's analysis.
      const failed = failure as { readonly error: unknown } | undefined;
      if (failed) throw failed.error;
    },
  };
}

/** Pages of memory that are asked for, one after the other: some browsers on phones do not reserve 4 GiB of addresses. */
const SIZES = [1, 2, 4, 8].map((part) => MAXIMUM_PAGES / part);

/** A memory that can grow to its maximum; its addresses are reserved at once, its bytes only when they are used. */
function reserveMemory({ memoryRemedy }: WasmHost): { memory: WebAssembly.Memory; maximum: number } {
  let refused: unknown;
  for (const maximum of SIZES)
    try {
      return { memory: new WebAssembly.Memory({ initial: 64, maximum, shared: true }), maximum };
    } catch (error) {
      refused = error;
    }
  throw new Error(
    `createWasmRuntime: no ${(SIZES.at(-1)! * PAGE) / 2 ** 20} MiB of addresses could be reserved for the memory of the CPU runtime; ` +
      memoryRemedy,
    { cause: refused },
  );
}

/** Make a memory at least so long. */
function reach(memory: WebAssembly.Memory, maximum: number, bytes: number): void {
  const missing = Math.ceil(bytes / PAGE) - memory.buffer.byteLength / PAGE;
  if (missing <= 0) return;
  try {
    memory.grow(missing);
  } catch (error) {
    throw tooLarge(bytes, maximum, error);
  }
}

/** What is thrown when a memory cannot be so long. */
export function tooLarge(bytes: number, maximum: number, cause?: unknown): Error {
  return new Error(
    `Out of memory: ${(bytes / 2 ** 20).toFixed(0)} MiB are needed and the limit of the CPU runtime is ${(maximum * PAGE) / 2 ** 20} MiB. ` +
      "Use a smaller batch, context or width, gradient accumulation, or checkpoint().",
    { cause },
  );
}
