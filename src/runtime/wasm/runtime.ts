// Question: how does a program run on all cores?
//
// One shared memory holds everything, the programs as words included; where it lies is layout.ts, and engine.ts has
// the threads that replay the words. Results are bit-identical for any number of threads.

import { expectFields } from "../../basics/fields.ts";
import { given } from "../../basics/given.ts";
import { stateOf } from "../../graph/state.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import { IndexError } from "../../ops/indices.ts";
import type { Buffer, CompiledPlan } from "../plan/calls.ts";
import type { Machine } from "../plan/machine.ts";
import {
  closedRuntime,
  expectCount,
  expectIntegers,
  notRun,
  outputOf,
  type Outputs,
  type ProgramSpec,
  type Readings,
  releasedProgram,
  type TensorValues,
  valuesOf,
} from "../program.ts";
import type { CallTime, ProgramPart, SynchronousProgramOf, SynchronousRuntime, TracedCall } from "../runtime.ts";
import { makeNaNsPlain, widened } from "../stored.ts";
import { type EncodedCall, encodeProgram, HEADER_WORDS } from "./encode.ts";
import { chooseThreads, startEngine } from "./engine.ts";
import type { WasmHost } from "./host.ts";
import { createLayout, localBase } from "./layout.ts";
import { wasmMachine } from "./machine.ts";
import { type Build, kernelIndices } from "./module.ts";
import { type Cut, cutPlan, partWords, writeParts } from "./parts.ts";
import { profileCalls, traceCalls } from "./stepwise.ts";

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
  parts(): readonly ProgramPart[];
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

/** Start the CPU runtime where a host runs it; see `createWasmRuntime` of node/ and page/. */
export async function startWasmRuntime(host: WasmHost, options: WasmOptions): Promise<WasmRuntime> {
  expectFields("createWasmRuntime", options, { threads: "number", revectorise: "flag", build: ["relaxed", "simd"] });
  const threads = chooseThreads(host, options.threads);
  const engine = await startEngine(host, { ...options, threads });
  const { build, panelWidth, memory, heap } = engine;
  const indexOf = kernelIndices(engine.kernels);

  const machine = wasmMachine({ threads, panelWidth });
  let closed = false;
  /** Ends the run that has been begun, if there is one, and keeps what went wrong for whoever began it. */
  let land = (): void => undefined;
  const expectOpen = (operation: string): void => {
    if (closed) throw closedRuntime(operation, "wasm");
    land();
    engine.expectSound();
  };
  const floats = (address: number, bytes: number): Float32Array => new Float32Array(memory.buffer, address, bytes / 4);
  const layout = createLayout(heap, machine, {
    begin({ buffer: { bytes, state }, address }) {
      floats(address, bytes).fill(0);
      if (state?.values) floats(address, bytes).set(state.values);
    },
    write(phases, base, placeOf) {
      const { words } = encodeProgram(phases, base, placeOf, indexOf);
      new Int32Array(memory.buffer, base, words.length).set(words);
    },
    drop() {},
    move: (from, to, bytes) => void new Uint8Array(memory.buffer).copyWithin(to, from, from + bytes),
  });
  const view = (tensor: Tensor, operation = "view"): TensorValues => {
    expectOpen(operation);
    const { address } = layout.state(tensor);
    const Values = tensor.dtype === "i32" ? Int32Array : Float32Array;
    return new Values(memory.buffer, address, sizeOf(tensor.shape));
  };
  /** A view that goes outside: its values may change at any time. */
  const exposed = (tensor: Tensor, operation = "view"): TensorValues => {
    const values = view(tensor, operation);
    layout.exposed(layout.state(tensor).buffer);
    return values;
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
      const encoded = encodeProgram(plan.phases, base, placeOf, indexOf);
      new Int32Array(memory.buffer, base, encoded.words.length).set(encoded.words);
      calls = encoded.calls;
    });
    const { plan, base, placeOf, prepared } = placed;
    const updated = (spec.updates ?? []).map(([state]) => stateOf(state)?.name ?? "tensor");
    const changed = (spec.updates ?? []).map(([state]) => plan.bufferOf(state));
    let released = false;
    const expectThere = (operation: string): void => {
      expectOpen(operation);
      if (released) throw releasedProgram(operation);
    };
    const addressOf = (buffer: Buffer): number => {
      const place = placeOf(buffer);
      if ("local" in place)
        throw new Error(`peek: ${buffer.name} lives only within its chain; compile with keepAll to look at it.`);
      return place.address;
    };
    const passingAt = (tensor: Tensor): TensorValues =>
      floats(addressOf(plan.bufferOf(tensor)), 4 * sizeOf(tensor.shape));
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
    /** When work fails there is nothing to read. */
    const watched = <T>(work: () => T, begun = false): T => {
      try {
        const result = engine.over(calls, work, begun);
        latest = program;
        return result;
      } catch (error) {
        throw error instanceof IndexError ? error.spoiling(updated) : error;
      }
    };
    const prepare = (operation: string): void => {
      expectThere(operation);
      latest = undefined;
      // Also where it fails half-way.
      for (const state of changed) layout.changed(state);
    };
    const prepareStale = (): void => {
      for (const stale of prepared.takeStale()) engine.run(stale);
    };
    /** Run all calls. */
    const execute = <T>(operation: string, work: () => T): T => {
      prepare(operation);
      return watched(() => {
        prepareStale();
        return work();
      });
    };
    const run = (): void => execute("run", () => engine.run(base));
    const begin = (): (() => void) => {
      prepare("begin");
      engine.over(calls, prepareStale);
      const rest = engine.begin(base);
      let ended: { readonly error?: unknown } | undefined;
      const end = (): void => {
        land = () => undefined;
        try {
          watched(rest, true);
          ended = {};
        } catch (error) {
          ended = { error };
        }
      };
      land = end;
      return () => {
        if (!ended) end();
        if ("error" in ended!) throw ended.error;
      };
    };
    let parts: readonly (Omit<Cut, "groups"> & { readonly address: number })[] | undefined;
    const placeParts = (cuts: readonly Cut[]): NonNullable<typeof parts> => {
      const length = partWords(cuts);
      const start = heap.allocate(4 * length);
      const program = new Int32Array(memory.buffer, base, HEADER_WORDS + plan.phases.flat().length);
      const places = writeParts(cuts, program, new Int32Array(memory.buffer, start, length));
      return cuts.map((cut, index) => ({ ...cut, address: start + 4 * places[index]! }));
    };
    const program: WasmProgram<O> = {
      plan,
      run,
      begin,
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
      parts() {
        expectThere("parts");
        parts ??= placeParts(cutPlan(plan, spec, threads));
        return parts.map(({ address, reads, updated, passing }) => ({
          run: (meanwhile) => execute("run", () => engine.run(address, meanwhile)),
          reads,
          updated,
          passing: passing.map((index) => ({ index, view: () => passingAt(spec.passing![index]!) })),
        }));
      },
      profile: (rounds = 1) => execute("profile", () => profileCalls(calls, rounds, engine.runTask)),
      trace(look) {
        const traced = { placeOf, localBase: localBase(engine.scratch), floats };
        execute("trace", () => traceCalls(calls, engine.runTask, traced, look));
      },
      release() {
        land();
        released = true;
        if (latest === program) latest = undefined;
        placed.release();
        if (parts?.[0]) heap.release(parts[0].address);
        parts = undefined;
      },
    };
    return program;
  };
  const readNow = (tensor: Tensor): TensorValues => view(tensor, "read").slice();

  return {
    name: machine.name,
    device: machine.device,
    kernels: `${build} ${panelWidth}`,
    ...given({ kernelCode: engine.kernelCode }),
    machine,
    build,
    compile,
    write(tensor, values) {
      const place = view(tensor, "write");
      expectCount(stateOf(tensor)?.name ?? "tensor", values, place.length, tensor.shape);
      if (tensor.dtype === "i32") expectIntegers(stateOf(tensor)?.name ?? "tensor", values);
      place.set(values);
      layout.changed(layout.state(tensor).buffer);
      if (values instanceof Float32Array) makeNaNsPlain(place);
    },
    readNow,
    read: async (tensor) => readNow(tensor),
    view: (tensor) => exposed(tensor),
    memory(tensor) {
      const values = exposed(tensor, "memory");
      if (values instanceof Float32Array) return values;
      throw new TypeError(`memory: a state of ${tensor.dtype} is given; only float32 is written in place. Use write.`);
    },
    forget(tensor) {
      land();
      layout.forget(tensor);
    },
    memoryBytes: () => heap.used(),
    finish: () => Promise.resolve(),
    close() {
      if (closed) return;
      land();
      closed = true;
      engine.stop();
    },
  };
}
