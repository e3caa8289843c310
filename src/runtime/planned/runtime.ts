// Question: what would a runtime take in memory, if there were one?
//
// Programs are compiled and given places as the machine's runtime does it, in a memory that is not there. Whoever
// compiles for a runtime can compile for this one and see what it comes to.

import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import { outputOf, type TensorValues, valuesOf } from "../program.ts";
import type { Machine } from "../plan/machine.ts";
import type { SynchronousRuntime } from "../runtime.ts";

/** A runtime without memory and threads: nothing is computed or kept, and what is read is zeros. */
export interface PlannedRuntime extends SynchronousRuntime {
  readonly machine: Machine;
  /** What the memory of the machine's runtime would have grown to. */
  memoryBytes(): number;
}

export function createPlannedRuntime(machine: Machine): PlannedRuntime {
  const memory = machine.plannedMemory();
  const zeros = ({ shape, dtype }: Tensor): TensorValues =>
    dtype === "i32" ? new Int32Array(sizeOf(shape)) : new Float32Array(sizeOf(shape));
  return {
    name: `planned ${machine.name}`,
    device: machine.device,
    kernels: "none",
    machine,
    compile(spec) {
      const { outputs } = spec;
      const { plan, release, placeParts } = memory.place(spec);
      const program = {
        plan,
        run() {},
        readNow: <N extends keyof typeof outputs & string>(name: N) => valuesOf(outputOf(outputs, name), zeros),
        release,
        // There is nothing to run.
        ...(placeParts && {
          parts: () => {
            placeParts();
            return [];
          },
        }),
      };
      return { ...program, read: (name) => Promise.resolve(program.readNow(name)) };
    },
    write: (tensor) => memory.addState(tensor),
    read: (tensor) => Promise.resolve(zeros(tensor)),
    readNow: zeros,
    forget: (tensor) => memory.forget(tensor),
    memoryBytes: () => memory.usedBytes(),
    finish: () => Promise.resolve(),
    close() {},
  };
}
