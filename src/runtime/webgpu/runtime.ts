// Question: how does a program run on a GPU by WebGPU?
//
// A step is one command buffer and one submission. Orders (write, run, read) are given to the GPU in the order in which
// they are asked for; while kernels are being compiled they wait in a line. Nothing waits for the GPU but a read.

import { expectFields } from "../../basics/fields.ts";
import { expectWhole } from "../../basics/ranges.ts";
import { stateOf } from "../../graph/state.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import { IndexError } from "../../ops/indices.ts";
import type { Buffer } from "../plan/calls.ts";
import { type Dispatch, dispatchesOf } from "../gpu/fuse.ts";
import { gpuMachine } from "../gpu/machine.ts";
import { createMemory, type Place } from "../gpu/memory.ts";
import type { IndexCheck } from "../gpu/work.ts";
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
  type TensorValues,
  valuesOf,
} from "../program.ts";
import type { ProgramOf, Runtime } from "../runtime.ts";
import { type AdapterListing, describeAdapter, findAdapter, openDevice, type WebgpuDoor } from "./adapter.ts";
import { bind, type Bound, type BoundDispatch } from "./bind.ts";
import { createPipelines } from "./pipelines.ts";

/** The bits of GPUBufferUsage and GPUMapMode, which are not there before the package is. */
const usage = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128 } as const;
const MAP_READ = 1;

/** What a smaller GPU may be taken to have at least. */
const LEAST_BUFFER = 2 ** 10;

/** WebGPU does not say how much memory there is: only an attempt shows what is too much. */
const UNKNOWN_MEMORY = 2 ** 42;

/** The WebGPU runtime: float32 on any GPU, the same bits from run to run on one adapter. */
export interface WebgpuRuntime extends Runtime {
  readonly adapter: AdapterListing;
}

/** How the WebGPU runtime uses the GPU. */
export interface WebgpuOptions {
  /** Bytes of the largest buffer, 1024 or more; default: the GPU's own limit. A smaller one plans as for a smaller GPU. */
  readonly largestBuffer?: number;
}

/** What a check has found, where the host looks. */
interface WatchedCheck extends IndexCheck {
  readonly place: Place<GPUBuffer>;
  readonly updated: readonly string[];
}

/** Open the GPU behind a door; see `createWebgpuRuntime` of node/ and page/. */
export async function startWebgpuRuntime(door: WebgpuDoor, options: WebgpuOptions): Promise<WebgpuRuntime> {
  expectFields("createWebgpuRuntime", options, { largestBuffer: "number" });
  if (options.largestBuffer !== undefined)
    expectWhole("createWebgpuRuntime", "largestBuffer", options.largestBuffer, LEAST_BUFFER, UNKNOWN_MEMORY);
  const adapter = await findAdapter(door);
  if (!adapter)
    throw new Error(
      `webgpu: there is no GPU that WebGPU can use. ${door.remedy} Or take the wasm runtime, which needs none.`,
    );
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
  /** What went wrong where nobody waited: told by the next call that can tell it. */
  let broken: Error | undefined;
  void device.lost.then(({ message, reason }) => {
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
  const expectOpen = (operation: string): void => {
    if (closed) throw closedRuntime(operation, "webgpu");
    if (broken) throw broken;
  };

  /** Orders that wait for kernels. */
  const line: (() => void)[] = [];
  const perform = (order: () => void): void => {
    if (pipelines.compiling() === 0 && line.length === 0) order();
    else line.push(order);
  };
  const pipelines = createPipelines(device, (error) => {
    broken ??= error;
    for (const order of line.splice(0)) order();
  });

  const submit = (encode: (encoder: GPUCommandEncoder) => void): void => {
    const encoder = device.createCommandEncoder();
    encode(encoder);
    queue.submit([encoder.finish()]);
  };
  const memory = createMemory<GPUBuffer>(machine, {
    create(label, bytes) {
      const size = Math.max(16, Math.ceil(bytes / 16) * 16);
      if (bytes > largestBuffer) throw tooLarge(bytes, largestBuffer);
      device.pushErrorScope("out-of-memory");
      const buffer = device.createBuffer({
        label,
        size,
        usage: usage.storage | usage.copySource | usage.copyTarget,
      });
      void device.popErrorScope().then((error) => {
        // Of more use than what follows from it, which may have been told before.
        if (error)
          broken = new Error(
            `Out of memory: the GPU has no ${(bytes / 2 ** 20).toFixed(0)} MiB left for ${label}. ` +
              "Use a smaller batch, context or width, gradient accumulation, or checkpoint(), and go on from the last checkpoint.",
          );
      });
      return buffer;
    },
    copy: (from, to, bytes) => perform(() => submit((encoder) => encoder.copyBufferToBuffer(from, 0, to, 0, bytes))),
    begin(place, values, dtype) {
      const data = dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values);
      perform(() => queue.writeBuffer(place.gpu, place.offset, data));
    },
    drop: (buffer) => perform(() => buffer.destroy()),
    tooLarge: (bytes) => tooLarge(bytes, largestBuffer),
  });

  /** The program whose values are in the arena. */
  let latest: object | undefined;
  /** Checks of programs that have run since somebody looked. */
  const unseen = new Set<WatchedCheck>();

  /** Read parts of buffers, and what the checks have found. */
  const fetch = async (places: readonly Place<GPUBuffer>[]): Promise<ArrayBuffer[]> => {
    expectOpen("read");
    const checks = [...unseen];
    unseen.clear();
    const all = [...places, ...checks.map(({ place }) => place)];
    const offsets: number[] = [];
    let total = 0;
    for (const { bytes } of all) {
      offsets.push(total);
      total += Math.ceil(bytes / 8) * 8;
    }
    const bytes = await new Promise<ArrayBuffer>((resolve, reject) =>
      perform(() => {
        if (broken || closed) return reject(broken ?? closedRuntime("read", "webgpu"));
        const staging = device.createBuffer({ size: Math.max(8, total), usage: usage.mapRead | usage.copyTarget });
        submit((encoder) => {
          for (const [at, { gpu, offset, bytes: size }] of all.entries())
            encoder.copyBufferToBuffer(gpu, offset, staging, offsets[at]!, size);
          for (const { place } of checks) encoder.clearBuffer(place.gpu, place.offset, place.bytes);
        });
        staging.mapAsync(MAP_READ).then(
          () => {
            resolve(staging.getMappedRange().slice(0));
            staging.destroy();
          },
          (error: unknown) => reject(broken ?? closedOr(error)),
        );
      }),
    );
    if (broken) throw broken;
    for (const [at, { operation, scope, rows, updated }] of checks.entries()) {
      const [position = 0, index = 0] = new Int32Array(bytes, offsets[places.length + at], 2);
      if (position === 0) continue;
      latest = undefined;
      throw new IndexError(operation, { index, position: position - 1, rows }, scope).spoiling(updated);
    }
    return places.map(({ bytes: size }, at) => bytes.slice(offsets[at], offsets[at]! + size));
  };
  const closedOr = (error: unknown): Error =>
    closed
      ? closedRuntime("read", "webgpu")
      : new Error("webgpu: the GPU did not give back what was read.", { cause: error });

  const tableOf = (words: Uint32Array<ArrayBuffer>): GPUBuffer => {
    const table = device.createBuffer({
      label: "places",
      size: words.byteLength,
      usage: usage.storage | usage.copyTarget,
    });
    perform(() => queue.writeBuffer(table, 0, words));
    return table;
  };
  const dropTable = (table: GPUBuffer): void => perform(() => table.destroy());

  const compile = <const O extends Outputs>(spec: ProgramSpec<O>): ProgramOf<Readings<O>> => {
    expectOpen("compile");
    let bound: Bound | undefined;
    let dispatches: Dispatch[] | undefined;
    const placed = memory.place(spec, ({ plan, placeOf }) => {
      dispatches ??= dispatchesOf(plan, limits.maxStorageBuffersPerShaderStage);
      bound?.release();
      bound = bind(dispatches, { device, pipelines, placeOf, tableOf, drop: dropTable });
    });
    const updated = (spec.updates ?? []).map(([state]) => stateOf(state)?.name ?? "tensor");
    const checks = (dispatches ?? []).flatMap(({ check, buffers }): WatchedCheck[] => {
      const offence = buffers.at(-1);
      return check && offence ? [{ ...check, place: placed.placeOf(offence), updated }] : [];
    });
    let released = false;
    const expectThere = (operation: string): void => {
      expectOpen(operation);
      if (released) throw releasedProgram(operation);
    };
    const encode = (calls: readonly BoundDispatch[]): void => {
      if (broken || closed) return;
      submit((encoder) => {
        const pass = encoder.beginComputePass();
        for (const { slot, group, grid } of calls) {
          pass.setPipeline(slot.pipeline!);
          pass.setBindGroup(0, group);
          pass.dispatchWorkgroups(...grid);
        }
        pass.end();
      });
    };
    const program: ProgramOf<Readings<O>> = {
      plan: placed.plan,
      run() {
        expectThere("run");
        // Bound as it is now: by its turn the arena may be another, which begins as a copy of this one.
        const calls = bound?.calls ?? [];
        perform(() => encode(calls));
        for (const check of checks) unseen.add(check);
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
        const values = await fetch(buffers.map((buffer) => placed.placeOf(buffer)));
        const read = new Map(tensors.map((tensor, at) => [tensor, inForm(tensor, values[at]!)]));
        return valuesOf(output, (tensor) => read.get(tensor)!.slice());
      },
      release() {
        if (released) return;
        released = true;
        if (latest === program) latest = undefined;
        for (const check of checks) unseen.delete(check);
        bound?.release();
        placed.release();
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
    compile,
    write(tensor, values) {
      expectOpen("write");
      const name = stateOf(tensor)?.name ?? "tensor";
      const place = memory.state(tensor);
      expectCount(name, values, sizeOf(tensor.shape), tensor.shape);
      if (tensor.dtype === "i32") expectIntegers(name, values);
      // A copy: the caller may change the values before their turn has come.
      const data = tensor.dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values);
      perform(() => {
        if (!broken && !closed) queue.writeBuffer(place.gpu, place.offset, data);
      });
    },
    async read(tensor) {
      expectOpen("read");
      const [bytes] = await fetch([memory.state(tensor)]);
      return inForm(tensor, bytes!);
    },
    forget: (tensor) => memory.forget(tensor),
    memoryBytes: () => memory.most(),
    async finish() {
      await fetch([]);
    },
    close() {
      if (closed) return;
      closed = true;
      for (const order of line.splice(0)) order();
      device.destroy();
    },
  };
}

function tooLarge(bytes: number, limit: number): Error {
  const mebibytes = (count: number): string => (count / 2 ** 20).toFixed(0);
  return new Error(
    `Out of memory: ${mebibytes(bytes)} MiB are needed and the limit of the webgpu runtime is ${mebibytes(limit)} MiB. ` +
      "Use a smaller batch, context or width, gradient accumulation, or checkpoint().",
  );
}

/** The values of a tensor from its bytes, which may have a few more at their end. */
function inForm({ dtype, shape }: Tensor, bytes: ArrayBuffer): TensorValues {
  const size = sizeOf(shape);
  if (dtype === "bf16")
    return new Float32Array(Uint32Array.from(new Uint16Array(bytes, 0, size), (half) => half << 16).buffer);
  return dtype === "i32" ? new Int32Array(bytes, 0, size) : new Float32Array(bytes, 0, size);
}
