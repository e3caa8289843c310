// birkhoff/runtime: one machine by its name, and what it knows of a compiled program.

// Several processes: the ranks of one job, and how they talk to each other.
export { openCollective, type OpenCollectiveOptions, type StoreOptions } from "./runtime/collective/open.ts";
export { type GpuExchange, joinGpus, type Joined } from "./runtime/collective/nccl/join.ts";
export { alone } from "./runtime/collective/alone.ts";
export {
  type Collective,
  CollectiveError,
  type CollectiveOptions,
  type GpuCollective,
  type GpuMessage,
  type GpuValues,
  type Pending,
  type Traffic,
  type Values,
} from "./runtime/collective/collective.ts";

// Machines: open one machine by its name, and see what a compiled program does and needs.
export { createReferenceRuntime } from "./runtime/reference/runtime.ts";
export { createWasmRuntime } from "./runtime/wasm/node/runtime.ts";
export type { WasmOptions, WasmProgram, WasmProgramOf, WasmRuntime } from "./runtime/wasm/runtime.ts";
export { createWebgpuRuntime } from "./runtime/webgpu/node/runtime.ts";
export type { WebgpuOptions, WebgpuRuntime } from "./runtime/webgpu/runtime.ts";
export { createCudaRuntime, type CudaOptions, type CudaRuntime } from "./runtime/cuda/runtime.ts";
export type { CudaDevice } from "./runtime/cuda/driver.ts";
export type { AdapterListing } from "./runtime/webgpu/adapter.ts";
export type {
  CallTime,
  ProgramPart,
  SynchronousProgram,
  SynchronousProgramOf,
  SynchronousRuntime,
  TracedCall,
} from "./runtime/runtime.ts";
export { listRuntimes, type RuntimeListing } from "./runtime/open.ts";
export type { Build } from "./runtime/wasm/module.ts";
export { describeArena, describeSchedule, type PlanSummary, summarise } from "./runtime/plan/describe.ts";
export type { Device } from "./runtime/device.ts";
export type { Machine } from "./runtime/plan/machine.ts";
export { type MachineChoices, plannedMachine } from "./runtime/machines.ts";
