// Question: how does a program run on all cores?
//
// One shared memory holds everything, the programs as words included; where it lies is layout.ts. A run is
// one call: the threads replay the words, JavaScript only starts them. Results are bit-identical for any
// number of threads.

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { Buffer, Call } from "../plan/calls.ts";
import { expectCount, type Program, type ProgramSpec, type Runtime } from "../program.ts";
import type { CompiledPlan } from "./compile.ts";
import { type EncodedCall, encodeProgram } from "./encode.ts";
import { watchThreads } from "./failures.ts";
import { createHeap } from "./heap.ts";
import { createLayout, localBase, reserve, STATIC_BYTES } from "./layout.ts";
import { type Build, compileModule, hasRelaxedSimd, instantiate, setEngineFlags } from "./module.ts";
import { probePanelWidth } from "./probe.ts";
import { type CallTime, profileCalls, traceCalls } from "./stepwise.ts";
import type { WorkerData } from "./worker.ts";

const PAGE = 65536;
const MAXIMUM_PAGES = 65536;
/** A memory of 32-bit addresses. */
export const LARGEST_MEMORY_BYTES: number = MAXIMUM_PAGES * PAGE;

/** What untouched memory holds in `touch`: as a float not a number, so that reading it shows. */
const PATTERN = 0x7fa5c3e1;

/** How the WebAssembly runtime uses the machine; the defaults are the fastest. */
export interface WasmOptions {
  /** Threads, the calling one included. Default: all cores. */
  readonly threads?: number;
  /** Ask V8 for 256-bit vectors (Node 24 and newer). Default: true. Fixed by the first runtime of a process. */
  readonly revectorise?: boolean;
  /** Which build of the kernels. Default: the best this engine validates. */
  readonly build?: Build;
}

/** A program of the WebAssembly runtime, with its plan to look at. */
export interface WasmProgram extends Program {
  readonly plan: CompiledPlan;
  /** Bytes of the arena this program needs. */
  readonly arenaBytes: number;
  read(output: string): Float32Array;
  /**
   * Execute on the calling thread alone, call by call, and time each: where does a step go?
   * With several rounds every task counts with its best, which a busy machine disturbs less.
   */
  profile(rounds?: number): CallTime[];
  /**
   * Execute once on the calling thread alone, and show what each call has written: a part of it after each task, or
   * all of it after the last. The values are those in memory, which later calls write over.
   */
  trace(look: (call: Call, values: Float32Array) => void): void;
  /** Execute once in an arena full of a pattern: how many bytes of it were written, in lines of 64. */
  touch(): number;
  /** Values of any buffer after a run; only of use when the program was compiled with keepAll. */
  peek(buffer: Buffer): Float32Array;
}

/** The WebAssembly runtime: float32, all cores, results bit-identical for any number of threads. */
export interface WasmRuntime extends Runtime {
  readonly threads: number;
  readonly build: Build;
  readonly panelWidth: number;
  compile(spec: ProgramSpec, options?: { keepAll?: boolean }): WasmProgram;
  read(state: Tensor): Float32Array | Int32Array;
  /** What `read` copies: the values where they lie, until the next program runs. Not to be written to. */
  view(state: Tensor): Float32Array | Int32Array;
  /** Bytes of shared memory that were taken at most: states, arena, programs, scratch. It never becomes shorter. */
  memoryBytes(): number;
}

/**
 * Start the threads of the WebAssembly runtime. `close` ends them; a process with an open runtime can
 * still exit.
 *
 * @throws RangeError when the number of threads is not a whole number from 1 to 256; Error from `compile`
 *   or `write` when more than 4 GiB are needed
 */
export async function createWasmRuntime(options: WasmOptions = {}): Promise<WasmRuntime> {
  const threads = options.threads ?? availableParallelism();
  if (!Number.isInteger(threads) || threads < 1 || threads > 256) {
    throw new RangeError(`threads must be a whole number from 1 to 256, got ${threads}.`);
  }
  setEngineFlags(options.revectorise ?? true);
  const build = options.build ?? (hasRelaxedSimd() ? "relaxed" : "simd");
  const module = await compileModule(build);
  const memory = new WebAssembly.Memory({ initial: 64, maximum: MAXIMUM_PAGES, shared: true });
  const heap = createHeap(STATIC_BYTES, (bytes) => reach(memory, bytes));
  const { control, scratch, probe } = reserve(heap, threads);
  const kernels = instantiate(module, memory);
  const panelWidth = build === "simd" ? 8 : probePanelWidth(kernels.exports, memory, probe).panelWidth;
  kernels.exports.setPanelWidth(panelWidth);
  const workers = await Promise.all(
    scratch.slice(1).map((own) => startWorker({ module, memory, control, threads, scratch: own, panelWidth })),
  );

  const watch = watchThreads(memory, control, kernels.exports.currentCall);
  const floats = (address: number, bytes: number): Float32Array => new Float32Array(memory.buffer, address, bytes / 4);
  const layout = createLayout(
    heap,
    { threads, panelWidth },
    {
      begin({ buffer: { bytes, state }, address }) {
        floats(address, bytes).fill(0);
        if (state?.values) floats(address, bytes).set(state.values);
      },
      move: (from, to, bytes) => void new Uint8Array(memory.buffer).copyWithin(to, from, from + bytes),
    },
  );
  const view = (tensor: Tensor): Float32Array | Int32Array => {
    const { address } = layout.state(tensor);
    const Values = tensor.dtype === "i32" ? Int32Array : Float32Array;
    return new Values(memory.buffer, address, sizeOf(tensor.shape));
  };
  /** The program whose values are in the arena. */
  let latest: WasmProgram | undefined;

  return {
    threads,
    build,
    panelWidth,
    compile(spec, { keepAll = false } = {}) {
      let calls: readonly EncodedCall[] = [];
      const placed = layout.place(spec, keepAll, ({ plan, base, placeOf }) => {
        const encoded = encodeProgram(plan.phases, base, placeOf, kernels.indexOf);
        new Int32Array(memory.buffer, base, encoded.words.length).set(encoded.words);
        calls = encoded.calls;
      });
      const { plan, base } = placed;
      const { arenaBytes } = plan.memory;
      let released = false;
      const expectThere = (): void => {
        if (released) throw new Error("This program has been released; compile it again.");
      };
      const runTask = ({ record, begin, end }: { record: number; begin: number; end: number }): void =>
        kernels.exports.runOne(control, record, begin, end, scratch[0]!);
      const peek = (buffer: Buffer): Float32Array => {
        expectThere();
        const place = placed.placeOf(buffer);
        if ("local" in place)
          throw new Error(`peek: ${buffer.name} lives only within its chain; compile with keepAll to look at it.`);
        return floats(place.address, buffer.bytes).slice();
      };
      const program: WasmProgram = {
        plan,
        arenaBytes,
        peek,
        run() {
          expectThere();
          latest = program;
          watch.over(calls, () => kernels.exports.startProgram(control, base, threads, scratch[0]!));
        },
        touch() {
          expectThere();
          const words = new Int32Array(memory.buffer, layout.arena().address, arenaBytes / 4).fill(PATTERN);
          program.run();
          let lines = 0;
          for (let at = 0; at < words.length; at += 16)
            if (words.subarray(at, at + 16).some((word) => word !== PATTERN)) lines++;
          return 64 * lines;
        },
        profile(rounds = 1) {
          expectThere();
          return watch.over(calls, () => profileCalls(calls, rounds, runTask));
        },
        trace(look) {
          expectThere();
          latest = program;
          const { placeOf } = placed;
          const traced = { placeOf, localBase: localBase(scratch[0]!), floats };
          watch.over(calls, () => traceCalls(calls, runTask, traced, look));
        },
        read(output) {
          const buffer = plan.outputs.get(output);
          if (!buffer)
            throw new Error(`read: no output "${output}"; there are: ${[...plan.outputs.keys()].join(", ")}.`);
          if (latest !== program && !buffer.state) {
            throw new Error(
              `read: "${output}" is not there: run the program first, and read before another program runs, for programs share their memory.`,
            );
          }
          const values = peek(buffer);
          return spec.outputs[output]!.dtype === "bf16" ? widened(values) : values;
        },
        release() {
          released = true;
          if (latest === program) latest = undefined;
          placed.release();
        },
      };
      return program;
    },
    write(tensor, values) {
      const { buffer } = layout.state(tensor);
      expectCount(buffer.name, values.length, sizeOf(tensor.shape), tensor.shape);
      view(tensor).set(values);
    },
    read: (tensor) => view(tensor).slice(),
    view,
    forget: (tensor) => layout.forget(tensor),
    memoryBytes: () => heap.used(),
    close() {
      if (threads > 1) {
        const words = new Int32Array(memory.buffer, control, 2);
        words[1] = 0;
        Atomics.add(words, 0, 1);
        Atomics.notify(words, 0);
      }
      for (const worker of workers) void worker.terminate();
    },
  };
}

/** What pairs of bfloat16, seen as float32, hold. */
function widened(pairs: Float32Array): Float32Array {
  const narrow = new Uint16Array(pairs.buffer, pairs.byteOffset, 2 * pairs.length);
  return new Float32Array(Uint32Array.from(narrow, (half) => half << 16).buffer);
}

/** Make a memory at least so long. */
function reach(memory: WebAssembly.Memory, bytes: number): void {
  const missing = Math.ceil(bytes / PAGE) - memory.buffer.byteLength / PAGE;
  if (missing <= 0) return;
  try {
    memory.grow(missing);
  } catch (error) {
    throw new Error(
      `Out of memory: ${(bytes / 2 ** 20).toFixed(0)} MiB are needed and the limit of the CPU runtime is ${LARGEST_MEMORY_BYTES / 2 ** 20} MiB. ` +
        "Use a smaller batch, context or width, gradient accumulation, or checkpoint().",
      { cause: error },
    );
  }
}

async function startWorker(workerData: WorkerData): Promise<Worker> {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), { workerData });
  await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  worker.unref();
  return worker;
}
