// birkhoff/runtime: one machine by its name, and what it knows of a compiled program.

// Machines: open one machine by its name, and see what a compiled program does and needs.
export { createReferenceRuntime, type ReferenceRuntime } from "./runtime/reference/runtime.ts";
export { createWasmRuntime, type WasmOptions, type WasmProgram, type WasmRuntime } from "./runtime/wasm/runtime.ts";
export type { CallTime } from "./runtime/wasm/stepwise.ts";
export type { Build } from "./runtime/wasm/module.ts";
export { describeMemory, describeSchedule, type PlanSummary, summarise } from "./runtime/plan/describe.ts";
export type { Machine } from "./runtime/wasm/layout.ts";
