// Question: how does a program run on all cores?
//
// One shared memory holds everything, the programs as words included; where it lies is layout.ts. A run is
// one call: the threads replay the words, JavaScript only starts them. Results are bit-identical for any
// number of threads.

import { expectFields } from "../../basics/fields.ts";
import { availableParallelism } from "node:os";
import { stateOf } from "../../graph/state.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import { IndexError } from "../../ops/indices.ts";
import type { Buffer, CompiledPlan } from "../plan/calls.ts";
import type { Machine } from "../plan/machine.ts";
import {
  expectCount,
  expectIntegers,
  notRun,
  outputOf,
  type Outputs,
  type ProgramSpec,
  type Readings,
  closedRuntime,
  releasedProgram,
  type TensorValues,
  valuesOf,
} from "../program.ts";
import type { CallTime, SynchronousProgramOf, SynchronousRuntime, TracedCall } from "../runtime.ts";
import { CONTROL_BYTES, CONTROL_EPOCH, CONTROL_PROGRAM } from "./constants.ts";
import { cpuDevice, MAXIMUM_PAGES, PAGE } from "./device.ts";
import { type EncodedCall, encodeProgram } from "./encode.ts";
import { recordTrap, watchThreads } from "./failures.ts";
import { createHeap } from "./heap.ts";
import { createLayout, localBase, reserve, STATIC_BYTES } from "./layout.ts";
import { wasmMachine } from "./machine.ts";
import { type Build, codeOf, compileModule, hasRelaxedSimd, instantiate, setEngineFlags } from "./module.ts";
import { probePanelWidth } from "./probe.ts";
import { profileCalls, traceCalls } from "./stepwise.ts";
import { startWorkers, type Workers } from "./workers.ts";

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
export interface WasmProgramOf<R> extends SynchronousProgramOf<R> {
  readonly plan: CompiledPlan;
  /**
   * Execute on the calling thread alone, call by call, and time each: where does a step go?
   * With several rounds every task counts with its best, which a busy machine disturbs less.
   */
  profile(rounds?: number): CallTime[];
  /** Execute once on the calling thread alone, and show what each call has written; see `Program.trace`. */
  trace(look: (call: TracedCall, values: TensorValues) => void): void;
  /** Execute once in an arena full of a pattern: how many bytes of it were written, in lines of 64. */
  touch(): number;
  /** Values of any buffer after a run; only of use when the program was compiled with keepAll. */
  peek(buffer: Buffer): Float32Array;
}

/** A program of the WebAssembly runtime by its outputs: what they are read as follows from them. */
export type WasmProgram<O extends Outputs = Outputs> = WasmProgramOf<Readings<O>>;

/** The WebAssembly runtime: float32, all cores, results bit-identical for any number of threads. */
export interface WasmRuntime extends SynchronousRuntime {
  readonly machine: Machine;
  readonly build: Build;
  compile<const O extends Outputs>(spec: ProgramSpec<O>, options?: { keepAll?: boolean }): WasmProgram<O>;
  view(state: Tensor): TensorValues;
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
  expectFields("createWasmRuntime", options, { threads: "number", revectorise: "flag", build: ["relaxed", "simd"] });
  const threads = options.threads ?? Math.min(256, availableParallelism());
  if (!Number.isInteger(threads) || threads < 1 || threads > 256) {
    throw new RangeError(
      `createWasmRuntime: threads is ${threads}; it must be a whole number from 1 to 256. Leave it out for all cores.`,
    );
  }
  setEngineFlags(options.revectorise ?? true);
  const build = options.build ?? (hasRelaxedSimd() ? "relaxed" : "simd");
  const module = await compileModule(build);
  const kernelCode = await codeOf(build);
  const memory = reserveMemory();
  const heap = createHeap(STATIC_BYTES, (bytes) => reach(memory, bytes));
  const { control, scratch, probe } = reserve(heap, cpuDevice({ threads, panelWidth: 16 }));
  let workers: Workers | undefined;
  /** A thread that has ended cannot come to the barrier: the others are to leave it. */
  const look = (): void => {
    const ended = workers?.askEnded();
    if (ended !== undefined) recordTrap(memory, control, 0, new Error(ended));
  };
  const kernels = instantiate(module, memory, look);
  const panelWidth = build === "simd" ? 8 : probePanelWidth(kernels.exports, memory, probe).panelWidth;
  kernels.exports.setPanelWidth(panelWidth);
  const [ownScratch = 0, ...otherScratch] = scratch;
  workers = await startWorkers(
    otherScratch.map((own) => ({ module, memory, control, threads, scratch: own, panelWidth })),
  );

  const machine = wasmMachine({ threads, panelWidth });
  const watch = watchThreads(memory, control, kernels.exports.currentCall);
  let closed = false;
  const expectOpen = (operation: string): void => {
    if (closed) throw closedRuntime(operation, "wasm");
    watch.expectSound(workers?.ended());
  };
  const floats = (address: number, bytes: number): Float32Array => new Float32Array(memory.buffer, address, bytes / 4);
  const layout = createLayout(heap, machine, {
    begin({ buffer: { bytes, state }, address }) {
      floats(address, bytes).fill(0);
      if (state?.values) floats(address, bytes).set(state.values);
    },
    move: (from, to, bytes) => void new Uint8Array(memory.buffer).copyWithin(to, from, from + bytes),
  });
  const view = (tensor: Tensor, operation = "view"): TensorValues => {
    expectOpen(operation);
    const { address } = layout.state(tensor);
    const Values = tensor.dtype === "i32" ? Int32Array : Float32Array;
    return new Values(memory.buffer, address, sizeOf(tensor.shape));
  };
  /** A copy of a tensor's values where they lie, in the form of its type. */
  const valuesAt = ({ dtype, shape }: Tensor, address: number): TensorValues => {
    const size = sizeOf(shape);
    if (dtype === "bf16") return widened(new Uint16Array(memory.buffer, address, size));
    return (dtype === "i32" ? new Int32Array(memory.buffer, address, size) : floats(address, 4 * size)).slice();
  };
  /** The program whose values are in the arena. */
  let latest: object | undefined;

  const compile = <const O extends Outputs>(
    spec: ProgramSpec<O>,
    { keepAll = false }: { keepAll?: boolean } = {},
  ): WasmProgram<O> => {
    expectOpen("compile");
    let calls: readonly EncodedCall[] = [];
    const placed = layout.place(spec, keepAll, ({ plan, base, placeOf }) => {
      const encoded = encodeProgram(plan.phases, base, placeOf, kernels.indexOf);
      new Int32Array(memory.buffer, base, encoded.words.length).set(encoded.words);
      calls = encoded.calls;
    });
    const { plan, base, placeOf } = placed;
    const updated = (spec.updates ?? []).map(([state]) => stateOf(state)?.name ?? "tensor");
    let released = false;
    const expectThere = (operation: string): void => {
      expectOpen(operation);
      if (released) throw releasedProgram(operation);
    };
    const runTask = ({ record, begin, end }: { record: number; begin: number; end: number }): void =>
      kernels.exports.runOne(control, record, begin, end, ownScratch);
    const addressOf = (buffer: Buffer): number => {
      const place = placeOf(buffer);
      if ("local" in place)
        throw new Error(`peek: ${buffer.name} lives only within its chain; compile with keepAll to look at it.`);
      return place.address;
    };
    const readNow = <N extends keyof O & string>(name: N): Readings<O>[N] => {
      expectThere("read");
      const output = outputOf(spec.outputs, name);
      if (latest !== program) throw notRun(name);
      return valuesOf(output, (tensor) => {
        const buffer = plan.outputs.get(tensor);
        if (!buffer) throw notRun(name);
        return valuesAt(tensor, addressOf(buffer));
      });
    };
    /** Run all calls; when that fails there is nothing to read. */
    const execute = <T>(operation: string, work: () => T): T => {
      expectThere(operation);
      latest = undefined;
      try {
        const result = watch.over(calls, work);
        latest = program;
        return result;
      } catch (error) {
        throw error instanceof IndexError ? error.spoiling(updated) : error;
      }
    };
    const run = (): void => execute("run", () => kernels.exports.startProgram(control, base, threads, ownScratch));
    const program: WasmProgram<O> = {
      plan,
      run,
      readNow,
      // An async function: what goes wrong rejects the promise.
      read: async (name) => readNow(name),
      peek(buffer) {
        expectThere("peek");
        return floats(addressOf(buffer), buffer.bytes).slice();
      },
      touch() {
        expectThere("touch");
        const words = new Int32Array(memory.buffer, layout.arena().address, plan.arena.bytes / 4).fill(PATTERN);
        run();
        let lines = 0;
        for (let at = 0; at < words.length; at += 16)
          if (words.subarray(at, at + 16).some((word) => word !== PATTERN)) lines++;
        return 64 * lines;
      },
      profile: (rounds = 1) => execute("profile", () => profileCalls(calls, rounds, runTask)),
      trace(look) {
        const traced = { placeOf, localBase: localBase(ownScratch), floats };
        execute("trace", () => traceCalls(calls, runTask, traced, look));
      },
      release() {
        released = true;
        if (latest === program) latest = undefined;
        placed.release();
      },
    };
    return program;
  };
  const readNow = (tensor: Tensor): TensorValues => view(tensor, "read").slice();

  return {
    name: machine.name,
    device: machine.device,
    kernels: `${build} ${panelWidth}`,
    kernelCode,
    machine,
    build,
    compile,
    write(tensor, values) {
      const place = view(tensor, "write");
      expectCount(stateOf(tensor)?.name ?? "tensor", values, place.length, tensor.shape);
      if (tensor.dtype === "i32") expectIntegers(stateOf(tensor)?.name ?? "tensor", values);
      place.set(values);
      if (values instanceof Float32Array) makeNaNsPlain(place);
    },
    readNow,
    read: async (tensor) => readNow(tensor),
    view: (tensor) => view(tensor),
    forget: (tensor) => layout.forget(tensor),
    memoryBytes: () => heap.used(),
    finish: () => Promise.resolve(),
    close() {
      if (closed) return;
      closed = true;
      if (threads > 1) {
        const words = new Int32Array(memory.buffer, control, CONTROL_BYTES / 4);
        words[CONTROL_PROGRAM / 4] = 0;
        Atomics.add(words, CONTROL_EPOCH / 4, 1);
        Atomics.notify(words, CONTROL_EPOCH / 4);
      }
      workers?.stop();
    },
  };
}

/** Upper halves of float32 as float32. */
function widened(narrow: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(narrow, (half) => half << 16).buffer);
}

/** A NaN that was made elsewhere may have other bits, and exp moves bits: it keeps only the usual NaN a NaN. */
function makeNaNsPlain(values: TensorValues): void {
  for (let at = 0; at < values.length; at++) if (Number.isNaN(values[at])) values[at] = NaN;
}

/** A memory that can grow to its maximum; its addresses are reserved at once, its bytes only when they are used. */
function reserveMemory(): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: 64, maximum: MAXIMUM_PAGES, shared: true });
  } catch (error) {
    throw new Error(
      `createWasmRuntime: no ${(MAXIMUM_PAGES * PAGE) / 2 ** 30} GiB of addresses could be reserved for the memory of the CPU runtime; ` +
        "the system must allow that much address space beside Node's own, though little of it is used. " +
        "Raise the limit (ulimit -v unlimited) or the container's, or take the reference runtime.",
      { cause: error },
    );
  }
}

/** Make a memory at least so long. */
function reach(memory: WebAssembly.Memory, bytes: number): void {
  const missing = Math.ceil(bytes / PAGE) - memory.buffer.byteLength / PAGE;
  if (missing <= 0) return;
  try {
    memory.grow(missing);
  } catch (error) {
    throw new Error(
      `Out of memory: ${(bytes / 2 ** 20).toFixed(0)} MiB are needed and the limit of the CPU runtime is ${(MAXIMUM_PAGES * PAGE) / 2 ** 20} MiB. ` +
        "Use a smaller batch, context or width, gradient accumulation, or checkpoint().",
      { cause: error },
    );
  }
}
