// Question: how does a program run on all cores?
//
// One shared memory holds everything: a control block, scratch for each thread, state, one arena that
// the programs share (they run one at a time), and the programs themselves as words. A run is one call:
// the threads replay the words, JavaScript only starts them. Results are bit-identical for any number
// of threads.

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { stateOf } from "../../graph/state.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import { type Buffer, type Call, LOCAL_BYTES } from "../plan/calls.ts";
import { expectCount, type Program, type ProgramSpec, type Runtime } from "../program.ts";
import { type CompiledPlan, compilePlan } from "./compile.ts";
import { type EncodedCall, encodeProgram, type Place, programSize } from "./encode.ts";
import { type Build, compileModule, hasRelaxedSimd, instantiate, setEngineFlags } from "./module.ts";
import { probePanelWidth } from "./probe.ts";
import type { WorkerData } from "./worker.ts";

const PAGE = 65536;
const MAXIMUM_PAGES = 65536;
/** A memory of 32-bit addresses. */
export const LARGEST_MEMORY_BYTES: number = MAXIMUM_PAGES * PAGE;
const SCRATCH_BYTES = 1 << 20;
/** Scratch, arguments and local buffers of a thread; see kernels/interpreter.ts. */
const THREAD_BYTES: number = SCRATCH_BYTES + 8192 + LOCAL_BYTES;
const STATIC_BYTES = 4096;
const CONTROL_BYTES = 64;

/** What a runtime has in its memory before anything is compiled. */
export function emptyRuntimeBytes(threads: number): number {
  return STATIC_BYTES + CONTROL_BYTES + threads * THREAD_BYTES + SCRATCH_BYTES;
}

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

/** How long one kernel call of a program took, alone on one thread. */
export interface CallTime {
  readonly call: Call;
  readonly milliseconds: number;
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
  /** Bytes of shared memory in use: state, arena, programs, scratch. */
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
  const heap = createHeap(memory, STATIC_BYTES);
  const control = heap.allocate(CONTROL_BYTES);
  const scratch = Array.from({ length: threads }, () => heap.allocate(THREAD_BYTES));
  const kernels = instantiate(module, memory);
  const panelWidth =
    build === "simd" ? 8 : probePanelWidth(kernels.exports, memory, heap.allocate(SCRATCH_BYTES)).panelWidth;
  kernels.exports.setPanelWidth(panelWidth);
  const workers = await Promise.all(
    scratch.slice(1).map((own) => startWorker({ module, memory, control, threads, scratch: own, panelWidth })),
  );

  const states = new Map<Tensor, { buffer: Buffer; address: number }>();
  const addresses = new Map<Buffer, number>();
  let arena = { address: 0, bytes: 0 };
  /** The program whose values are in the arena. */
  let latest: WasmProgram | undefined;

  const stateOfTensor = (tensor: Tensor): { buffer: Buffer; address: number } => {
    const attributes = stateOf(tensor);
    if (!attributes)
      throw new Error(
        "This tensor is computed; only parameters, persistent tensors and inputs can be read or written.",
      );
    let state = states.get(tensor);
    if (!state) {
      const bytes = 4 * sizeOf(tensor.shape);
      state = { buffer: { name: attributes.name, bytes, state: attributes }, address: heap.allocate(bytes) };
      addresses.set(state.buffer, state.address);
      states.set(tensor, state);
      if (attributes.values) floats(state.address, bytes).set(attributes.values);
    }
    return state;
  };
  const floats = (address: number, bytes: number): Float32Array => new Float32Array(memory.buffer, address, bytes / 4);

  return {
    threads,
    build,
    panelWidth,
    compile(spec, { keepAll = false } = {}) {
      const plan = compilePlan(spec, {
        panelWidth,
        threads,
        keepAll,
        stateBuffer: (tensor) => stateOfTensor(tensor).buffer,
      });
      const { offsets, arenaBytes, locals, sharing } = plan.memory;
      if (arenaBytes > arena.bytes) arena = { address: heap.allocate(arenaBytes), bytes: arenaBytes };
      const { address } = arena;
      const placeOf = (buffer: Buffer): Place => {
        const root = sharing.get(buffer) ?? buffer;
        const local = locals.get(root);
        return local ? { local } : { address: addresses.get(root) ?? address + offsets.get(root)! };
      };
      const base = heap.allocate(4 * programSize(plan.phases, placeOf));
      const { words, calls } = encodeProgram(plan.phases, base, placeOf, kernels.indexOf);
      new Int32Array(memory.buffer, base, words.length).set(words);
      const peek = (buffer: Buffer): Float32Array => {
        const place = placeOf(buffer);
        if ("local" in place)
          throw new Error(`peek: ${buffer.name} lives only within its chain; compile with keepAll to look at it.`);
        return floats(place.address, buffer.bytes).slice();
      };
      const program: WasmProgram = {
        plan,
        arenaBytes,
        peek,
        run() {
          latest = program;
          kernels.exports.startProgram(control, base, threads, scratch[0]!);
        },
        touch() {
          const words = new Int32Array(memory.buffer, address, arenaBytes / 4).fill(PATTERN);
          program.run();
          let lines = 0;
          for (let at = 0; at < words.length; at += 16)
            if (words.subarray(at, at + 16).some((word) => word !== PATTERN)) lines++;
          return 64 * lines;
        },
        profile: (rounds = 1) =>
          profileCalls(calls, rounds, (record, begin, end) => kernels.exports.runOne(record, begin, end, scratch[0]!)),
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
      };
      return program;
    },
    write(tensor, values) {
      const { address, buffer } = stateOfTensor(tensor);
      expectCount(buffer.name, values.length, sizeOf(tensor.shape), tensor.shape);
      const size = sizeOf(tensor.shape);
      if (tensor.dtype === "i32") new Int32Array(memory.buffer, address, size).set(values);
      else new Float32Array(memory.buffer, address, size).set(values);
    },
    read(tensor) {
      const { address } = stateOfTensor(tensor);
      const size = sizeOf(tensor.shape);
      return tensor.dtype === "i32"
        ? new Int32Array(memory.buffer, address, size).slice()
        : new Float32Array(memory.buffer, address, size).slice();
    },
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

/** Chain by chain, task by task, as a program runs; the best times of a call's tasks are added up. */
function profileCalls(
  calls: readonly EncodedCall[],
  rounds: number,
  run: (record: number, begin: number, end: number) => void,
): CallTime[] {
  const chains = [...new Set(calls.map(({ group }) => group))].map(
    (group) => [group, calls.filter((encoded) => encoded.group === group)] as const,
  );
  const best = new Map<Call, number[]>(calls.map(({ call }) => [call, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [{ domain, grain }, chain] of chains) {
      for (let begin = 0, task = 0; begin < domain; begin += grain, task++) {
        for (const { call, record } of chain) {
          const started = performance.now();
          run(record, begin, Math.min(begin + grain, domain));
          const times = best.get(call)!;
          times[task] = Math.min(times[task] ?? Number.POSITIVE_INFINITY, performance.now() - started);
        }
      }
    }
  }
  return [...best].map(([call, times]) => ({ call, milliseconds: times.reduce((sum, time) => sum + time, 0) }));
}

/** Addresses handed out once, 64-byte aligned; the memory grows as needed and starts as zeros. */
function createHeap(memory: WebAssembly.Memory, start: number): { allocate(bytes: number): number; used(): number } {
  let next = start;
  return {
    allocate(bytes) {
      const address = next;
      next = Math.ceil((next + bytes + 64) / 64) * 64;
      const missing = Math.ceil(next / PAGE) - memory.buffer.byteLength / PAGE;
      if (missing > 0) {
        try {
          memory.grow(missing);
        } catch (error) {
          throw new Error(
            `Out of memory: ${(next / 2 ** 20).toFixed(0)} MiB are needed and the limit of the CPU runtime is ${LARGEST_MEMORY_BYTES / 2 ** 20} MiB. ` +
              "Use a smaller batch, context or width, gradient accumulation, or checkpoint().",
            { cause: error },
          );
        }
      }
      return address;
    },
    used: () => next,
  };
}

async function startWorker(workerData: WorkerData): Promise<Worker> {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), { workerData });
  await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  worker.unref();
  return worker;
}
