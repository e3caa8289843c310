// Question: how does a program run on an NVIDIA GPU by CUDA?
//
// A step is one launch of a graph that was recorded once. Orders (write, run, read) go into one stream in the order in
// which they are asked for; while kernels are being compiled they wait in a line. Nothing waits for the GPU but a read,
// and that on another thread.

import { expectFields } from "../../basics/fields.ts";
import { expectWhole } from "../../basics/ranges.ts";
import { attempt } from "../../files/errors.ts";
import { stateOf } from "../../graph/state.ts";
import { type Operation, sizeOf, type Tensor } from "../../graph/tensor.ts";
import { type Checked, createChecks } from "../gpu/checks.ts";
import { dispatchesOf } from "../gpu/fuse.ts";
import { gpuMachine } from "../gpu/machine.ts";
import { createMemory, NoRoom, type Piece, type Place } from "../gpu/memory.ts";
import type { Buffer } from "../plan/calls.ts";
import type { Lowering } from "../plan/machine.ts";
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
  tensorsOf,
  valuesOf,
} from "../program.ts";
import type { ProgramOf, Runtime } from "../runtime.ts";
import { fromStored, toStored } from "../stored.ts";
import type { GpuBeside } from "../beside.ts";
import { openCache } from "./cache.ts";
import { createKernels } from "./compile.ts";
import { WORKSPACE_BYTES } from "./cublas.ts";
import type { CudaDevice } from "./driver.ts";
import { CudaError, OUT_OF_MEMORY } from "./errors.ts";
import { openCuda } from "./find.ts";
import { hasBfloat16, implementationsFor } from "./ops/table.ts";
import {
  type BoundProgram,
  bindProgram,
  type PreparedProgram,
  prepareProgram,
  type ProgramMachine,
} from "./program.ts";
import { createReadback } from "./readback.ts";
import type { CudaWork, ProductWork } from "./work.ts";

/** The environment variable that, at 1, makes the runtime wait after each kernel, so that its errors name it. */
const CHECK_VARIABLE = "BIRKHOFF_CUDA_CHECK";

/** Offsets that suit the widest loads, and cuBLASLt. */
const ALIGNMENT = 256;

/** Kernels count the numbers of a buffer in 32 bits. */
const LARGEST_BUFFER = 2 ** 34;

/** Kernels have as many operands as 4 KiB of parameters allow. */
const MOST_OPERANDS = 500;

/** The CUDA runtime: float32 on an NVIDIA GPU, the same bits from run to run on one kind of GPU. */
export interface CudaRuntime extends Runtime {
  readonly gpu: CudaDevice;
  /** Milliseconds that the GPU takes for what is ordered in `act`, such as runs of programs, by its own clock. */
  time(act: () => void): Promise<number>;
  readonly beside: GpuBeside;
}

/** How the CUDA runtime uses the GPU. */
export interface CudaOptions {
  /** Which GPU, from 0 as CUDA counts them. Default: 0, or of several processes on a machine each its own. */
  readonly device?: number;
  /** Wait after each kernel, so that errors name it; slow. Default: whether the environment has BIRKHOFF_CUDA_CHECK=1. */
  readonly check?: boolean;
  /** Bytes that may be taken at most. Default: what is free when the runtime is opened. */
  readonly largestMemory?: number;
}

/** A piece of the GPU's memory. */
interface DevicePiece extends Piece {
  readonly address: number;
}

const rounded = (bytes: number): number => Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);

/**
 * Open an NVIDIA GPU; `close` ends it.
 *
 * @throws Error when there is no GPU or a library is missing or too old; it says what to do. MissingPackages without
 *   koffi. RangeError for options that make no sense
 */
export function createCudaRuntime(options: CudaOptions = {}): Promise<CudaRuntime> {
  return startCudaRuntime(options);
}

/** @param given how it does operations in a way of its own; default: ops/table.ts */
export async function startCudaRuntime(
  options: CudaOptions,
  given?: ReadonlyMap<Operation, Lowering>,
): Promise<CudaRuntime> {
  expectFields("createCudaRuntime", options, { device: "number", check: "flag", largestMemory: "number" });
  const { device: asked, check = process.env[CHECK_VARIABLE] === "1" } = options;
  if (asked !== undefined) expectWhole("createCudaRuntime", "device", asked, 0, 1023);
  if (options.largestMemory !== undefined)
    expectWhole("createCudaRuntime", "largestMemory", options.largestMemory, 1, Number.MAX_SAFE_INTEGER);
  const { native, driver, compiler, device: gpu, openProducts } = await openCuda(asked);
  const { ordinal } = gpu;
  driver.enter(ordinal);
  const ready = <T>(make: () => T): T => {
    try {
      return make();
    } catch (error) {
      attempt(() => driver.leave(ordinal));
      throw error;
    }
  };
  const limit = Math.min(
    ready(() => driver.freeBytes()),
    options.largestMemory ?? Number.POSITIVE_INFINITY,
  );
  const machine = gpuMachine({
    name: "cuda",
    largestMemory: limit,
    largestBuffer: LARGEST_BUFFER,
    alignment: ALIGNMENT,
    own: given ?? implementationsFor({ ...gpu, compiler: compiler.version }),
    takesStored: hasBfloat16(gpu),
  });
  const stream = ready(() => driver.createStream());
  const products = ready(() => openProducts());
  const readback = ready(() => createReadback(native, driver, stream));

  let closed = false;
  /** What went wrong: nothing goes on after it. */
  let broken: Error | undefined;
  const expectOpen = (operation: string): void => {
    if (closed) throw closedRuntime(operation, "cuda");
    if (broken) throw broken;
  };

  /** Orders that wait for kernels. */
  const line: (() => void)[] = [];
  const order = (act: () => void): void => {
    if (broken || closed) return;
    try {
      act();
    } catch (error) {
      broken = error as Error;
    }
  };
  /** How many have asked that nothing more be ordered. */
  let holds = 0;
  const waits = (): boolean => !broken && (kernels.compiling() > 0 || holds > 0);
  const perform = (act: () => void): void => {
    if (waits() || line.length > 0) line.push(act);
    else order(act);
  };
  /** Order what has waited, until something is to be waited for again. */
  const advance = (): void => {
    while (line.length > 0 && !waits()) order(line.shift()!);
    // Those whose turn has come hear nothing of it.
    if (line.length === 0) for (const refuse of waiting.splice(0)) refuse();
  };
  const breakWith = (error: Error): void => {
    broken ??= error;
    advance();
  };
  const kernels = createKernels(
    { driver, compiler, cache: openCache(), architecture: gpu.architecture },
    (error) => (error ? breakWith(error) : advance()),
    () => !closed && !broken,
  );
  /** Reads whose order has not come to its turn; told when it never will. */
  const waiting: (() => void)[] = [];

  let taken = 0;
  const pieces = new Set<DevicePiece>();
  const allocate = (label: string, bytes: number): DevicePiece => {
    const size = rounded(bytes);
    const noRoom = (): Error => new NoRoom(outOfMemory(taken + size, limit).message);
    if (taken + size > limit) throw noRoom();
    try {
      const address = driver.allocate(size, label);
      driver.clear(address, size, stream);
      taken += size;
      const piece = { address, size };
      pieces.add(piece);
      return piece;
    } catch (error) {
      if (error instanceof CudaError && error.code === OUT_OF_MEMORY && error.library === "driver") throw noRoom();
      if (error instanceof CudaError && error.poisons) broken = error;
      throw error;
    }
  };
  /** Part of an order: the GPU may still be using it. */
  const free = (piece: DevicePiece): void => {
    driver.synchronize(stream);
    driver.free(piece.address);
    taken -= piece.size;
    pieces.delete(piece);
  };
  const memory = createMemory<DevicePiece>(machine, {
    create: allocate,
    copy: (from, to, bytes) => perform(() => driver.copy(to.address, from.address, bytes, stream)),
    begin({ gpu: { address }, offset }, values, dtype) {
      const data = dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values);
      perform(() => driver.copyToDevice(address + offset, data, stream));
    },
    drop: (piece) => perform(() => free(piece)),
    tooLarge: (bytes) => outOfMemory(bytes, limit),
    noRoom: (bytes) => outOfMemory(bytes + (workspace?.size ?? 0), limit),
  });
  let workspace: DevicePiece | undefined;

  const programs: ProgramMachine = {
    native,
    driver,
    kernels,
    products,
    stream,
    check,
    makeTable(words) {
      const table = allocate("places", words.byteLength);
      perform(() => driver.copyToDevice(table.address, words, stream));
      return table;
    },
    dropTable: free,
  };
  /** The program whose values are in the arena. */
  let latest: object | undefined;
  const refusal = (): Error => (closed ? closedRuntime("read", "cuda") : (broken ?? closedRuntime("read", "cuda")));
  const readPlaces = async (places: readonly Place<DevicePiece>[], wipes: boolean): Promise<ArrayBuffer[]> => {
    const sources = places.map(({ gpu: { address }, offset, bytes }) => ({ address: address + offset, bytes }));
    let values: ArrayBuffer[];
    try {
      values = await new Promise<ArrayBuffer[]>((resolve, reject) => {
        let begun = false;
        const refuse = (): void => void (!begun && reject(refusal()));
        perform(() => {
          begun = true;
          readback.copy(sources).then(resolve, reject);
          if (wipes) for (const { address, bytes } of sources) driver.clear(address, bytes, stream);
        });
        if (!begun && (broken || closed)) refuse();
        else if (!begun) waiting.push(refuse);
      });
    } catch (error) {
      if (!closed) broken ??= error as Error;
      throw refusal();
    }
    if (closed || broken) throw refusal();
    return values;
  };
  // Places are taken at once: by its turn the arena may be another, and this one is there until then.
  const checks = createChecks<DevicePiece>({ read: ({ places, wipes = false }) => readPlaces(places(), wipes) });
  /** Read parts of the memory, and whether what they depend on was right. */
  const fetch = async (
    places: readonly Place<DevicePiece>[],
    concerns: (checked: Checked<DevicePiece>) => boolean,
  ): Promise<ArrayBuffer[]> => {
    expectOpen("read");
    const verdict = checks.look(concerns);
    const values = await readPlaces(places, false);
    const found = await verdict();
    if (found) throw found;
    return values;
  };

  const compile = <const O extends Outputs>(spec: ProgramSpec<O>): ProgramOf<Readings<O>> => {
    expectOpen("compile");
    let bound: BoundProgram | undefined;
    let prepared: PreparedProgram | undefined;
    const unbind = (): void => {
      const before = bound;
      if (before) perform(() => before.release());
    };
    const placed = memory.place(spec, (program) => {
      prepared ??= prepareProgram(programs, dispatchesOf<CudaWork | ProductWork>(program.plan, MOST_OPERANDS));
      if (prepared.multiplies) workspace ??= allocate("workspace", WORKSPACE_BYTES);
      unbind();
      const addressOf = (buffer: Buffer): number => {
        const { gpu: piece, offset } = program.placeOf(buffer);
        return piece.address + offset;
      };
      bound = bindProgram(programs, prepared, addressOf, workspace?.address ?? 0);
    });
    const checked: Checked<DevicePiece> = {
      checks: (prepared?.dispatches ?? []).flatMap(({ check: found, buffers }) => {
        const offence = buffers.at(-1);
        return found && offence ? [{ ...found, place: () => placed.placeOf(offence) }] : [];
      }),
      updated: new Set((spec.updates ?? []).map(([state]) => state)),
      onWrong: () => void (latest === program && (latest = undefined)),
    };
    let released = false;
    const expectThere = (operation: string): void => {
      expectOpen(operation);
      if (released) throw releasedProgram(operation);
    };
    const program: ProgramOf<Readings<O>> = {
      plan: placed.plan,
      run() {
        expectThere("run");
        // Bound as it is now: by its turn the arena may be another, which begins as a copy of this one.
        const current = bound!;
        perform(() => current.run());
        if (broken) throw broken;
        checks.ran(checked);
        latest = program;
      },
      async read(name) {
        expectThere("read");
        const output = outputOf(spec.outputs, name);
        if (latest !== program) throw notRun(name);
        const tensors = [...new Set(tensorsOf(output))];
        const buffers = tensors.map((tensor): Buffer => {
          const buffer = placed.plan.outputs.get(tensor);
          if (!buffer) throw notRun(name);
          return buffer;
        });
        const values = await fetch(buffers.map(placed.placeOf), (other) => other === checked);
        const read = new Map(tensors.map((tensor, at) => [tensor, fromStored(tensor, values[at]!)]));
        return valuesOf(output, (tensor) => read.get(tensor)!.slice());
      },
      release() {
        if (released) return;
        released = true;
        if (latest === program) latest = undefined;
        if (closed) return;
        checks.leave(checked);
        unbind();
        placed.release();
      },
    };
    return program;
  };

  return {
    name: "cuda",
    device: machine.device,
    kernels: `cuda ${gpu.architecture}`,
    machine,
    asynchronous: true,
    gpu,
    async time(act) {
      // What is still being compiled is no part of it.
      await fetch([], () => true);
      const [first, last] = [driver.createEvent(true), driver.createEvent(true)];
      driver.mark(first, stream);
      act();
      driver.mark(last, stream);
      await fetch([], () => true);
      const milliseconds = driver.between(first, last);
      driver.destroyEvent(first);
      driver.destroyEvent(last);
      return milliseconds;
    },
    beside: {
      bus: gpu.bus,
      driver,
      stream,
      inTurn: perform,
      hold() {
        holds++;
        let held = true;
        return () => {
          if (!held) return;
          held = false;
          holds--;
          advance();
        };
      },
      fail: breakWith,
      addressOf(tensor) {
        expectOpen("addressOf");
        const { gpu: piece, offset } = memory.state(tensor);
        return piece.address + offset;
      },
    },
    compile,
    write(tensor, values) {
      expectOpen("write");
      const name = stateOf(tensor)?.name ?? "tensor";
      const { gpu: piece, offset } = memory.state(tensor);
      expectCount(name, values, sizeOf(tensor.shape), tensor.shape);
      if (tensor.dtype === "i32") expectIntegers(name, values);
      // A copy: the caller may change the values before their turn has come.
      const data = toStored(tensor, values);
      perform(() => driver.copyToDevice(piece.address + offset, data, stream));
      if (broken) throw broken;
    },
    async read(tensor) {
      expectOpen("read");
      const [bytes] = await fetch([memory.state(tensor)], ({ updated }) => updated.has(tensor));
      return fromStored(tensor, bytes!);
    },
    forget: (tensor: Tensor) => memory.forget(tensor),
    memoryBytes: () => memory.most() + (workspace?.size ?? 0),
    async finish() {
      await fetch([], () => true);
    },
    close() {
      if (closed) return;
      closed = true;
      line.length = 0;
      for (const refuse of waiting.splice(0)) refuse();
      // Other runtimes may have the same context, so what is this one's own is given back; of a poisoned one all is lost.
      attempt(() => {
        driver.synchronize(stream);
        for (const { address } of pieces) driver.free(address);
        readback.close();
        products.close();
        driver.destroyStream(stream);
      });
      attempt(() => driver.leave(ordinal));
    },
  };
}

function outOfMemory(bytes: number, limit: number): Error {
  const mebibytes = (count: number): string => Math.ceil(count / 2 ** 20).toFixed(0);
  return new Error(
    `Out of memory: ${mebibytes(bytes)} MiB are needed and the limit of the cuda runtime is ${Math.floor(limit / 2 ** 20)} MiB. ` +
      `Exactly: ${bytes} bytes are needed, ${limit} are free. Use a smaller batch, context or width, gradient accumulation, or checkpoint().`,
  );
}
