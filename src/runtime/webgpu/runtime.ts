// Question: how does a program run on a GPU by WebGPU?
//
// A step is one command buffer and one submission. Orders (write, run, read) are given to the GPU in the order in which
// they are asked for (orders.ts). Nothing waits for the GPU but a read. What a program lacks, memory or a kernel, is that
// program's failure: its runs do nothing, its reads reject, and the others go on.

import { expectFields } from "../../basics/fields.ts";
import { expectWhole } from "../../basics/ranges.ts";
import { stateOf } from "../../graph/state.ts";
import { sizeOf } from "../../graph/tensor.ts";
import type { Buffer } from "../plan/calls.ts";
import { type Checked, createChecks } from "../gpu/checks.ts";
import { dispatchesOf } from "../gpu/fuse.ts";
import { gpuMachine } from "../gpu/machine.ts";
import { createMemory, type Growth, type Place } from "../gpu/memory.ts";
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
  tensorsOf,
  valuesOf,
} from "../program.ts";
import type { ProgramOf, Runtime } from "../runtime.ts";
import { fromStored, toStored } from "../stored.ts";
import { type AdapterListing, describeAdapter, expectAdapter, openDevice, type WebgpuDoor } from "./adapter.ts";
import { bind, type Bound } from "./bind.ts";
import { createClock } from "./clock.ts";
import { createOrders, type Orders } from "./orders.ts";
import { createPipelines } from "./pipelines.ts";
import { createReads, type Reads } from "./reads.ts";

/** The bits of GPUBufferUsage, which are not there before the package is. */
const usage = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128 } as const;

/** So long a read that fails waits to hear whether the GPU was lost. */
const LOSS_MS = 500;

/** What a smaller GPU may be taken to have at least. */
const LEAST_BUFFER = 2 ** 10;

/** WebGPU does not say how much memory there is: only an attempt shows what is too much. */
const UNKNOWN_MEMORY = 2 ** 42;

/** The WebGPU runtime: float32 on any GPU, the same bits from run to run on one adapter. */
export interface WebgpuRuntime extends Runtime {
  readonly adapter: AdapterListing;
  /**
   * Milliseconds that the GPU takes for the programs that a function runs, by its own clock, from the first kernel to the
   * last; absent where it has no such clock. Browsers round it to 0.1 ms: time many runs together.
   */
  readonly time?: (act: () => void) => Promise<number>;
}

/** How the WebGPU runtime uses the GPU. */
export interface WebgpuOptions {
  /** Bytes of the largest buffer, 1024 or more; default: the GPU's own limit. A smaller one plans as for a smaller GPU. */
  readonly largestBuffer?: number;
}

/** Open the GPU behind a door; see `createWebgpuRuntime` of node/ and page/. */
export async function startWebgpuRuntime(door: WebgpuDoor, options: WebgpuOptions): Promise<WebgpuRuntime> {
  expectFields("createWebgpuRuntime", options, { largestBuffer: "number" });
  if (options.largestBuffer !== undefined)
    expectWhole("createWebgpuRuntime", "largestBuffer", options.largestBuffer, LEAST_BUFFER, UNKNOWN_MEMORY);
  const adapter = await expectAdapter(door);
  const device = await openDevice(adapter);
  const { limits, queue } = device;
  const largestBuffer = Math.min(
    limits.maxBufferSize,
    limits.maxStorageBufferBindingSize,
    options.largestBuffer ?? Number.POSITIVE_INFINITY,
  );
  const machine = gpuMachine({
    name: "webgpu",
    largestMemory: UNKNOWN_MEMORY,
    largestBuffer,
    alignment: limits.minStorageBufferOffsetAlignment,
  });

  let closed = false;
  /** What ended the runtime where nobody waited: told by whatever is asked for next. */
  let broken: Error | undefined;
  const lost = device.lost.then(({ message, reason }) => {
    if (reason === "destroyed" && closed) return;
    broken = new Error(
      `webgpu: the GPU was lost: ${message || reason}. Open another runtime and go on from the last checkpoint.`,
    );
  });
  device.addEventListener("uncapturederror", (event) => {
    broken ??= new Error(
      `webgpu: the GPU refused an order: ${event.error.message}. Please report it with the output of birkhoff doctor; ` +
        "open another runtime, such as wasm, and go on from the last checkpoint.",
    );
  });
  const problem = (): Error | undefined => broken ?? (closed ? closedRuntime("read", "webgpu") : undefined);
  const expectOpen = (operation: string): void => {
    if (closed) throw closedRuntime(operation, "webgpu");
    if (broken) throw broken;
  };

  /** Bytes of all buffers, now and at most. */
  let [taken, most] = [0, 0];
  /** Buffers for which there was no memory. */
  const missing = new Map<GPUBuffer, Error>();
  const create = (label: string, bytes: number, uses: number): GPUBuffer => {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    device.pushErrorScope("out-of-memory");
    const buffer = device.createBuffer({ label, size, usage: uses });
    const scope = device.popErrorScope();
    taken += size;
    most = Math.max(most, taken);
    orders.hold(
      scope.then(
        (error) => void (error && missing.set(buffer, noMemory(label, bytes, taken))),
        () => undefined, // The device is lost, which is told by itself.
      ),
    );
    return buffer;
  };
  const destroy = (buffer: GPUBuffer): void => {
    taken -= buffer.size;
    missing.delete(buffer);
    buffer.destroy();
  };
  const drop = (buffer: GPUBuffer): void =>
    orders.give(() => {
      // What was encoded before may need it.
      orders.submit();
      destroy(buffer);
    });
  const expectMemory = (place: Place<GPUBuffer>): Place<GPUBuffer> => {
    const error = missing.get(place.gpu);
    if (error) throw error;
    return place;
  };

  const orders: Orders = createOrders(device, {
    beforeSubmit: () => reads.encode(),
    afterSubmit: () => reads.submitted(),
  });
  const reads: Reads = createReads({
    orders,
    // Small, and not worth a wait.
    create(size) {
      taken += size;
      most = Math.max(most, taken);
      return device.createBuffer({ label: "read", size, usage: usage.mapRead | usage.copyTarget });
    },
    destroy,
    problem,
    async lost(cause) {
      // The loss itself says more; it may be told a little later.
      await Promise.race([lost, new Promise((resolve) => void setTimeout(resolve, LOSS_MS))]);
      return problem() ?? new Error("webgpu: the GPU did not give back what was read.", { cause });
    },
  });
  const checks = createChecks(reads);
  const pipelines = createPipelines(device);
  const clock = createClock(device, orders, reads);

  const put = (place: Place<GPUBuffer>, data: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>): void => {
    if (problem()) return;
    const error = missing.get(place.gpu);
    if (error) return checks.keep(error);
    // What was encoded before comes before.
    orders.submit();
    queue.writeBuffer(place.gpu, place.offset, data);
  };
  const memory = createMemory<GPUBuffer>(machine, {
    create(label, bytes) {
      if (bytes > largestBuffer) throw tooLarge(bytes, largestBuffer);
      return create(label, bytes, usage.storage | usage.copySource | usage.copyTarget);
    },
    copy: (from, to, bytes) => orders.encoder().copyBufferToBuffer(from, 0, to, 0, bytes),
    begin(place, values, dtype) {
      const data = toStored({ dtype }, values);
      orders.give(() => put(place, data));
    },
    drop,
    tooLarge: (bytes) => tooLarge(bytes, largestBuffer),
  });
  const tableOf = (words: Uint32Array<ArrayBuffer>): GPUBuffer => {
    const table = create("places", words.byteLength, usage.storage | usage.copyTarget);
    queue.writeBuffer(table, 0, words);
    return table;
  };

  /** The program whose values are in the arena. */
  let latest: object | undefined;
  /** Read parts of buffers, and whether what they depend on was right. */
  const fetch = async (
    places: () => readonly Place<GPUBuffer>[],
    concerns: (checked: Checked<GPUBuffer>) => boolean,
  ): Promise<ArrayBuffer[]> => {
    expectOpen("read");
    const verdict = checks.look(concerns);
    const values = await reads.read({ places }).catch((error: Error) => {
      throw checks.tell(error);
    });
    if (broken) throw broken;
    const found = await verdict();
    if (found) throw found;
    return values;
  };
  const compile = <const O extends Outputs>(spec: ProgramSpec<O>): ProgramOf<Readings<O>> => {
    expectOpen("compile");
    let bound: Bound | undefined;
    /** Why it cannot run: no memory for it, or a kernel that this GPU does not take. */
    let failure: Error | undefined;
    const attempt = (act: () => void): void => {
      try {
        act();
      } catch (error) {
        failure ??= error as Error;
      }
    };
    const placed = memory.prepare(spec, ({ placeOf }) => {
      bound?.release();
      const placeThere = (buffer: Buffer): Place<GPUBuffer> => expectMemory(placeOf(buffer));
      device.pushErrorScope("validation");
      attempt(() => (bound = bind(dispatches, { device, pipelines, placeOf: placeThere, tableOf, drop })));
      orders.hold(
        device.popErrorScope().then(
          (error) => void (error && (failure ??= refused(error))),
          () => undefined,
        ),
      );
    });
    const dispatches = dispatchesOf(placed.plan, limits.maxStorageBuffersPerShaderStage);
    const checked: Checked<GPUBuffer> = {
      checks: dispatches.flatMap(({ check, buffers }) => {
        const offence = buffers.at(-1);
        return check && offence ? [{ ...check, place: () => placed.placeOf(offence) }] : [];
      }),
      updated: new Set((spec.updates ?? []).map(([state]) => state)),
      onWrong: () => void (latest === program && (latest = undefined)),
    };
    /** Give it its place, once it is known whether there is memory. */
    const install = (): Promise<void> | undefined => {
      if (problem()) return undefined;
      let growth: Growth<GPUBuffer> | undefined;
      attempt(() => (growth = placed.grow()));
      if (!growth) return undefined;
      const { pieces, commit, abandon } = growth;
      const settle = (): void => {
        const lacking = pieces.find((piece) => missing.has(piece));
        failure ??= lacking && missing.get(lacking);
        if (failure) abandon();
        else attempt(commit);
      };
      if (pieces.length > 0) return orders.held().then(settle);
      settle();
      return undefined;
    };
    orders.give(install);

    /** In its turn; waits for kernels that are being compiled. */
    const encode = (): Promise<void> | undefined => {
      if (problem()) return undefined;
      if (bound?.settled && !failure) return bound.settled.then(encode);
      failure ??= bound?.error;
      if (failure) checks.keep(failure);
      if (failure || !bound) return undefined;
      reads.encode();
      const pass = orders.encoder().beginComputePass(clock?.pass());
      let current: GPUComputePipeline | undefined;
      for (const { slot, group, grid } of bound.calls) {
        if (slot.pipeline !== current) pass.setPipeline((current = slot.pipeline!));
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(grid[0], grid[1]);
      }
      pass.end();
      return undefined;
    };
    let released = false;
    const expectThere = (operation: string): void => {
      expectOpen(operation);
      if (released) throw releasedProgram(operation);
      if (failure) throw checks.tell(failure);
    };
    const program: ProgramOf<Readings<O>> = {
      plan: placed.plan,
      run() {
        expectThere("run");
        orders.give(encode);
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
        const places = (): readonly Place<GPUBuffer>[] => {
          if (failure) throw failure;
          return buffers.map(placed.placeOf);
        };
        const values = await fetch(places, (other) => other === checked);
        const read = new Map(tensors.map((tensor, at) => [tensor, fromStored(tensor, values[at]!)]));
        return valuesOf(output, (tensor) => read.get(tensor)!.slice());
      },
      release() {
        if (released) return;
        released = true;
        if (latest === program) latest = undefined;
        checks.leave(checked);
        placed.leaveStates();
        orders.give(() => {
          bound?.release();
          placed.release();
        });
      },
    };
    return program;
  };

  return {
    name: "webgpu",
    device: machine.device,
    kernels: `webgpu ${adapter.info.architecture || adapter.info.vendor || "adapter"}`,
    machine,
    asynchronous: true,
    adapter: describeAdapter(adapter),
    ...(clock && { time: clock.time }),
    compile,
    write(tensor, values) {
      expectOpen("write");
      const name = stateOf(tensor)?.name ?? "tensor";
      const place = memory.state(tensor);
      expectCount(name, values, sizeOf(tensor.shape), tensor.shape);
      if (tensor.dtype === "i32") expectIntegers(name, values);
      const Values = tensor.dtype === "i32" ? Int32Array : Float32Array;
      if (orders.idle && values instanceof Values && values.buffer instanceof ArrayBuffer)
        return put(place, values as Float32Array<ArrayBuffer>);
      // A copy: the caller may change the values before their turn has come.
      const data = Values.from(values);
      orders.give(() => put(place, data));
    },
    async read(tensor) {
      expectOpen("read");
      const place = memory.state(tensor);
      const places = (): [Place<GPUBuffer>] => [expectMemory(place)];
      const [bytes] = await fetch(places, ({ updated }) => updated.has(tensor));
      return fromStored(tensor, bytes!);
    },
    forget: (tensor) => memory.forget(tensor),
    memoryBytes: () => most,
    async finish() {
      await fetch(
        () => [],
        () => true,
      );
      if (broken) throw broken;
    },
    close() {
      if (closed) return;
      closed = true;
      orders.drain();
      device.destroy();
    },
  };
}

function tooLarge(bytes: number, limit: number): Error {
  return new Error(
    `Out of memory: ${mebibytes(bytes)} MiB are needed and the limit of the webgpu runtime is ${mebibytes(limit)} MiB. ` +
      "Use a smaller batch, context or width, gradient accumulation, or checkpoint().",
  );
}

function noMemory(label: string, bytes: number, taken: number): Error {
  return new Error(
    `Out of memory: the GPU has no ${mebibytes(bytes)} MiB left for ${label}; ${mebibytes(taken - bytes)} MiB are taken. ` +
      "Use a smaller batch, context or width, gradient accumulation, or checkpoint(), and go on from the last checkpoint.",
  );
}

const mebibytes = (count: number): string => (count / 2 ** 20).toFixed(count < 10 * 2 ** 20 ? 1 : 0);

function refused({ message }: GPUError): Error {
  return new Error(
    `webgpu: the GPU refused a program: ${message}. Please report it with the output of birkhoff doctor; the wasm runtime computes the same.`,
  );
}
