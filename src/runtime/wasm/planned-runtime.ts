// Question: what would a runtime take in memory, if there were one?
//
// Programs are compiled and given places as wasm/runtime.ts does it, in a memory that is not there. Whoever
// compiles for a runtime can compile for this one and see what it comes to.

import { sizeOf } from "../../graph/tensor.ts";
import type { Program, ProgramSpec, Runtime } from "../program.ts";
import { createHeap } from "./heap.ts";
import { createLayout, type Machine, reserve, STATIC_BYTES } from "./layout.ts";

/** A runtime without memory and threads: nothing is computed or kept, and what is read is zeros. */
export interface PlannedRuntime extends Runtime, Machine {
  compile(spec: ProgramSpec): Program;
  /** What the memory of the CPU runtime would have grown to. */
  memoryBytes(): number;
}

export function createPlannedRuntime({ threads, panelWidth }: Machine): PlannedRuntime {
  const heap = createHeap(STATIC_BYTES);
  reserve(heap, threads);
  const layout = createLayout(heap, { threads, panelWidth }, { begin() {}, move() {} });
  return {
    threads,
    panelWidth,
    compile(spec) {
      const { release } = layout.place(spec, false, () => {});
      return { run() {}, read: (output) => new Float32Array(sizeOf(spec.outputs[output]!.shape)), release };
    },
    write: (tensor) => void layout.state(tensor),
    read: (tensor) => new Float32Array(sizeOf(tensor.shape)),
    forget: (tensor) => layout.forget(tensor),
    memoryBytes: () => heap.used(),
    close() {},
  };
}
