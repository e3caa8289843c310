// Question: how is the GPU's driver called?
//
// The functions of libcuda that the runtime needs, each checked: a code that is not 0 is thrown as what it means. A thread
// has one current context, and runtimes of one thread may have different GPUs: each sets its own before it calls.

import { CudaError, INVALID_CONTEXT, NOT_READY } from "./errors.ts";
import type { Argument, Cell, Library, Native, NativeFunction } from "./native.ts";

/** By our name: the symbol, where a version is part of it, and the parameters. Addresses are uint64_t. */
const signatures = {
  cuInit: ["cuInit", "uint32_t flags"],
  cuDriverGetVersion: ["cuDriverGetVersion", "uint64_t version"],
  cuDeviceGetCount: ["cuDeviceGetCount", "uint64_t count"],
  cuDeviceGet: ["cuDeviceGet", "uint64_t device, int ordinal"],
  cuDeviceGetName: ["cuDeviceGetName", "uint64_t name, int length, int device"],
  cuDeviceGetAttribute: ["cuDeviceGetAttribute", "uint64_t value, int attribute, int device"],
  cuDeviceGetPCIBusId: ["cuDeviceGetPCIBusId", "uint64_t name, int length, int device"],
  cuDeviceTotalMem: ["cuDeviceTotalMem_v2", "uint64_t bytes, int device"],
  cuDevicePrimaryCtxRetain: ["cuDevicePrimaryCtxRetain", "uint64_t context, int device"],
  cuDevicePrimaryCtxRelease: ["cuDevicePrimaryCtxRelease_v2", "int device"],
  cuCtxSetCurrent: ["cuCtxSetCurrent", "uint64_t context"],
  cuMemGetInfo: ["cuMemGetInfo_v2", "uint64_t free, uint64_t total"],
  cuMemAlloc: ["cuMemAlloc_v2", "uint64_t at, size_t bytes"],
  cuMemFree: ["cuMemFree_v2", "uint64_t at"],
  cuMemHostAlloc: ["cuMemHostAlloc", "uint64_t at, size_t bytes, uint32_t flags"],
  cuMemFreeHost: ["cuMemFreeHost", "uint64_t at"],
  cuMemcpyHtoDAsync: ["cuMemcpyHtoDAsync_v2", "uint64_t to, void *from, size_t bytes, uint64_t stream"],
  cuMemcpyDtoHAsync: ["cuMemcpyDtoHAsync_v2", "uint64_t to, uint64_t from, size_t bytes, uint64_t stream"],
  cuMemcpyDtoDAsync: ["cuMemcpyDtoDAsync_v2", "uint64_t to, uint64_t from, size_t bytes, uint64_t stream"],
  cuMemsetD8Async: ["cuMemsetD8Async", "uint64_t to, uint8_t value, size_t bytes, uint64_t stream"],
  cuModuleLoadData: ["cuModuleLoadData", "uint64_t module, void *image"],
  cuModuleUnload: ["cuModuleUnload", "uint64_t module"],
  cuModuleGetFunction: ["cuModuleGetFunction", "uint64_t function, uint64_t module, const char *name"],
  cuFuncSetAttribute: ["cuFuncSetAttribute", "uint64_t function, int attribute, int value"],
  cuLaunchKernel: [
    "cuLaunchKernel",
    "uint64_t function, uint32_t gx, uint32_t gy, uint32_t gz, uint32_t bx, uint32_t by, uint32_t bz, uint32_t shared, uint64_t stream, uint64_t parameters, uint64_t extra",
  ],
  cuStreamCreate: ["cuStreamCreate", "uint64_t stream, uint32_t flags"],
  cuStreamDestroy: ["cuStreamDestroy_v2", "uint64_t stream"],
  cuStreamSynchronize: ["cuStreamSynchronize", "uint64_t stream"],
  cuStreamWaitEvent: ["cuStreamWaitEvent", "uint64_t stream, uint64_t event, uint32_t flags"],
  cuStreamBeginCapture: ["cuStreamBeginCapture_v2", "uint64_t stream, int mode"],
  cuStreamEndCapture: ["cuStreamEndCapture", "uint64_t stream, uint64_t graph"],
  cuGraphInstantiate: ["cuGraphInstantiateWithFlags", "uint64_t executable, uint64_t graph, uint64_t flags"],
  cuGraphLaunch: ["cuGraphLaunch", "uint64_t executable, uint64_t stream"],
  cuGraphDestroy: ["cuGraphDestroy", "uint64_t graph"],
  cuGraphExecDestroy: ["cuGraphExecDestroy", "uint64_t executable"],
  cuEventCreate: ["cuEventCreate", "uint64_t event, uint32_t flags"],
  cuEventDestroy: ["cuEventDestroy_v2", "uint64_t event"],
  cuEventRecord: ["cuEventRecord", "uint64_t event, uint64_t stream"],
  cuEventQuery: ["cuEventQuery", "uint64_t event"],
  cuEventSynchronize: ["cuEventSynchronize", "uint64_t event"],
  cuEventElapsedTime: ["cuEventElapsedTime", "uint64_t milliseconds, uint64_t first, uint64_t last"],
} as const;

type DriverCall = keyof typeof signatures;

/** All calls that the runtime makes of the driver. */
export const driverCalls: readonly DriverCall[] = Object.keys(signatures) as DriverCall[];

/** Calls that need no current context. */
const withoutContext: ReadonlySet<DriverCall> = new Set([
  "cuInit",
  "cuDriverGetVersion",
  "cuDeviceGetCount",
  "cuDeviceGet",
  "cuDeviceGetName",
  "cuDeviceGetAttribute",
  "cuDeviceGetPCIBusId",
  "cuDeviceTotalMem",
  "cuDevicePrimaryCtxRetain",
  "cuDevicePrimaryCtxRelease",
  "cuCtxSetCurrent",
] as const);

/** The context that is current in this thread, where a runtime has set it. */
let current: number | undefined;

/** CUdevice_attribute. */
const attributes = { multiprocessors: 16, major: 75, minor: 76, sharedBytes: 97 } as const;

/** CU_EVENT_BLOCKING_SYNC, and CU_EVENT_DISABLE_TIMING where nobody asks when. */
const EVENT_FLAGS = { timed: 1, untimed: 3 } as const;
/** CU_STREAM_NON_BLOCKING */
const STREAM_FLAGS = 1;
/** CU_STREAM_CAPTURE_MODE_RELAXED: a library may load a kernel, or take memory for one, when it first orders it. */
const CAPTURE_MODE = 2;
/** CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES */
const MOST_SHARED = 8;

/** What is known of a GPU. */
export interface CudaDevice {
  readonly ordinal: number;
  readonly name: string;
  /** Such as "9.0". */
  readonly capability: string;
  /** What kernels are compiled for, such as "sm_90". */
  readonly architecture: string;
  readonly multiprocessors: number;
  /** Bytes that a group may share, at most. */
  readonly sharedBytes: number;
  readonly totalBytes: number;
  /** Its place on the machine's bus, such as "0000:01:00.0". */
  readonly bus: string;
}

export interface Driver {
  /** Such as 13000 for CUDA 13.0: what the driver can run at most. */
  readonly version: number;
  deviceCount(): number;
  device(ordinal: number): CudaDevice;
  /** Take the device's context: all that follows happens in it. */
  enter(ordinal: number): void;
  leave(ordinal: number): void;
  /** Make it the current one of this thread, for libraries that ask for that; the driver's functions do so themselves. */
  makeCurrent(): void;
  freeBytes(): number;
  allocate(bytes: number, doing: string): number;
  free(at: number): void;
  /** Memory of the processor that the GPU copies to by itself. */
  allocateHost(bytes: number): number;
  freeHost(at: number): void;
  /** The values may be changed as soon as it returns. */
  copyToDevice(to: number, from: ArrayBufferView, stream: number): void;
  copyToHost(to: number, from: number, bytes: number, stream: number): void;
  copy(to: number, from: number, bytes: number, stream: number): void;
  clear(to: number, bytes: number, stream: number): void;
  loadModule(image: Uint8Array): number;
  functionOf(module: number, name: string, sharedBytes: number): number;
  launch(kernel: Launch, stream: number): void;
  createStream(): number;
  destroyStream(stream: number): void;
  /** Wait; `doing` is named if it fails. */
  synchronize(stream: number, doing?: string): void;
  /** All that `record` orders becomes a graph, which is then ready to be launched. */
  record(stream: number, record: () => void): number;
  launchGraph(executable: number, stream: number): void;
  destroyGraph(executable: number): void;
  /** @param timed whether `between` may be asked of it */
  createEvent(timed?: boolean): number;
  destroyEvent(event: number): void;
  mark(event: number, stream: number): void;
  /** What is ordered in the stream from here on waits for the mark as it was last made. */
  waitForMark(event: number, stream: number): void;
  /** Whether all that was ordered before the mark is done. */
  isReached(event: number): boolean;
  /** Milliseconds from one mark to another, both reached. */
  between(first: number, last: number): number;
  /** Wait for all that was ordered before the mark; the event loop goes on. */
  reached(event: number): Promise<void>;
}

export interface Launch {
  readonly label: string;
  readonly function: number;
  readonly groups: number;
  readonly width: number;
  readonly sharedBytes: number;
  /** The address of the list of the addresses of the values. */
  readonly parameters: number;
}

/** Functions that throw what their codes mean. */
type Checked<K extends string> = Readonly<Record<K, (...values: Argument[]) => void>>;

/** @throws CudaError when the driver cannot start; Error when the library lacks a function */
export function openDriver(native: Native, library: Library): Driver {
  const raw = {} as Record<DriverCall, NativeFunction>;
  /** Of this driver's runtime. */
  let own: number | undefined;
  const makeCurrent = (): void => {
    if (own === undefined || own === current) return;
    expectDone("cuCtxSetCurrent", raw.cuCtxSetCurrent(own));
    current = own;
  };
  const checked = {} as Record<DriverCall, (...values: Argument[]) => void>;
  for (const call of driverCalls) {
    const [symbol, parameters] = signatures[call];
    const code = library.code(symbol, parameters);
    const inContext = (...values: Argument[]): number => {
      makeCurrent();
      return code(...values);
    };
    raw[call] = withoutContext.has(call) ? code : Object.assign(inContext, { later: code.later });
    checked[call] = (...values) => expectDone(call, raw[call](...values));
  }
  const cu: Checked<DriverCall> = checked;
  const cell: Cell = native.cell(16);
  const text = native.cell(256);
  const address = (call: DriverCall, ...rest: Argument[]): number => {
    cu[call](cell.address, ...rest);
    return Number(cell.view.getBigUint64(0, true));
  };
  const whole = (call: DriverCall, ...rest: Argument[]): number => {
    cu[call](cell.address, ...rest);
    return cell.view.getInt32(0, true);
  };
  cu.cuInit(0);
  const version = whole("cuDriverGetVersion");
  return {
    version,
    deviceCount: () => whole("cuDeviceGetCount"),
    device(ordinal) {
      const device = whole("cuDeviceGet", ordinal);
      const textOf = (call: "cuDeviceGetName" | "cuDeviceGetPCIBusId"): string => {
        cu[call](text.address, 256, device);
        return Buffer.from(text.view.buffer).toString("utf8").replace(/\0.*$/s, "");
      };
      const attribute = (which: number): number => whole("cuDeviceGetAttribute", which, device);
      const [major, minor] = [attribute(attributes.major), attribute(attributes.minor)];
      return {
        ordinal,
        name: textOf("cuDeviceGetName"),
        bus: textOf("cuDeviceGetPCIBusId"),
        capability: `${major}.${minor}`,
        architecture: `sm_${major}${minor}`,
        multiprocessors: attribute(attributes.multiprocessors),
        sharedBytes: attribute(attributes.sharedBytes),
        totalBytes: address("cuDeviceTotalMem", device),
      };
    },
    enter(ordinal) {
      const context = address("cuDevicePrimaryCtxRetain", ordinal);
      const code = raw.cuCtxSetCurrent(context);
      if (code !== 0) raw.cuDevicePrimaryCtxRelease(ordinal);
      expectDone("cuCtxSetCurrent", code);
      own = current = context;
    },
    leave(ordinal) {
      // A later context may have the same address.
      if (current === own) current = undefined;
      own = undefined;
      cu.cuDevicePrimaryCtxRelease(ordinal);
    },
    makeCurrent,
    freeBytes() {
      cu.cuMemGetInfo(cell.address, cell.address + 8);
      return Number(cell.view.getBigUint64(0, true));
    },
    allocate(bytes, doing) {
      expectDone("cuMemAlloc", raw.cuMemAlloc(cell.address, bytes), doing);
      return Number(cell.view.getBigUint64(0, true));
    },
    free: (at) => cu.cuMemFree(at),
    allocateHost: (bytes) => address("cuMemHostAlloc", bytes, 0),
    freeHost: (at) => cu.cuMemFreeHost(at),
    copyToDevice: (to, from, stream) => cu.cuMemcpyHtoDAsync(to, from, from.byteLength, stream),
    copyToHost: (to, from, bytes, stream) => cu.cuMemcpyDtoHAsync(to, from, bytes, stream),
    copy: (to, from, bytes, stream) => cu.cuMemcpyDtoDAsync(to, from, bytes, stream),
    clear: (to, bytes, stream) => cu.cuMemsetD8Async(to, 0, bytes, stream),
    loadModule: (image) => address("cuModuleLoadData", image),
    functionOf(module, name, sharedBytes) {
      const found = address("cuModuleGetFunction", module, name);
      if (sharedBytes > 0) cu.cuFuncSetAttribute(found, MOST_SHARED, sharedBytes);
      return found;
    },
    launch({ label, function: kernel, groups, width, sharedBytes, parameters }, stream) {
      const code = raw.cuLaunchKernel(kernel, groups, 1, 1, width, 1, 1, sharedBytes, stream, parameters, 0);
      expectDone("cuLaunchKernel", code, label);
    },
    createStream: () => address("cuStreamCreate", STREAM_FLAGS),
    destroyStream: (stream) => cu.cuStreamDestroy(stream),
    synchronize: (stream, doing) => expectDone("cuStreamSynchronize", raw.cuStreamSynchronize(stream), doing),
    record(stream, record) {
      cu.cuStreamBeginCapture(stream, CAPTURE_MODE);
      try {
        record();
      } catch (error) {
        // The stream must not stay as it is; what this says is of no use beside the error.
        if (raw.cuStreamEndCapture(stream, cell.address) === 0) raw.cuGraphDestroy(cell.view.getBigUint64(0, true));
        throw error;
      }
      cu.cuStreamEndCapture(stream, cell.address);
      const graph = cell.view.getBigUint64(0, true);
      const executable = address("cuGraphInstantiate", graph, 0);
      cu.cuGraphDestroy(graph);
      return executable;
    },
    launchGraph: (executable, stream) => cu.cuGraphLaunch(executable, stream),
    destroyGraph: (executable) => cu.cuGraphExecDestroy(executable),
    createEvent: (timed = false) => address("cuEventCreate", timed ? EVENT_FLAGS.timed : EVENT_FLAGS.untimed),
    between(first, last) {
      cu.cuEventElapsedTime(cell.address, first, last);
      return cell.view.getFloat32(0, true);
    },
    destroyEvent: (event) => cu.cuEventDestroy(event),
    mark: (event, stream) => cu.cuEventRecord(event, stream),
    waitForMark: (event, stream) => cu.cuStreamWaitEvent(stream, event, 0),
    isReached(event) {
      const code = raw.cuEventQuery(event);
      if (code !== NOT_READY) expectDone("cuEventQuery", code);
      return code !== NOT_READY;
    },
    async reached(event) {
      let code = await raw.cuEventSynchronize.later(event);
      // The thread that waits has no context of its own, which a driver may mind: then it is asked from this one.
      if (code === INVALID_CONTEXT)
        while ((code = raw.cuEventQuery(event)) === NOT_READY) await new Promise((resolve) => setTimeout(resolve, 1));
      expectDone("cuEventSynchronize", code);
    },
  };
}

function expectDone(call: string, code: number, doing?: string): void {
  if (code !== 0) throw new CudaError("driver", call, code, doing);
}
