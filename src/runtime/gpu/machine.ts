// Question: what is a GPU to the plan?

import { byteSize, type Operation, type Tensor } from "../../graph/tensor.ts";
import { stateOf } from "../../graph/state.ts";
import type { Device } from "../device.ts";
import type { Buffer, Call } from "../plan/calls.ts";
import { compilePlan, withoutMemory } from "../plan/compile.ts";
import type { Lowering, Machine } from "../plan/machine.ts";
import { kernelCall, u } from "./implement.ts";
import { implementations } from "./ops/table.ts";
import { WIDTH } from "./rows.ts";

/** What is known of a GPU before a program is planned for it. */
export interface GpuChoices {
  readonly name: string;
  /** All that states, arena and programs may take together. */
  readonly largestMemory: number;
  /** Offsets of buffers in the arena are multiples of this. */
  readonly alignment: number;
  /** The largest buffer that it has. */
  readonly largestBuffer: number;
  /** How it does operations in a way of its own; all others as every GPU does them. */
  readonly own?: ReadonlyMap<Operation, Lowering>;
  /** Whether its kernels may have operands of bfloat16. Default: false. */
  readonly takesStored?: boolean;
}

/** Chains are elementwise only (see fuse.ts), so no call is a tile of rows; one thread of the host gives the orders. */
export function gpuDevice({ largestMemory, alignment, largestBuffer }: GpuChoices): Device {
  return {
    threads: 1,
    panelWidth: 1,
    rowTile: 1,
    elementBlock: WIDTH,
    localBytes: 0,
    localAlignment: 1,
    localArguments: 0,
    alignment,
    padding: 0,
    arenaPage: Math.floor(largestBuffer / alignment) * alignment,
    largestMemory,
  };
}

export function gpuMachine(choices: GpuChoices): Machine {
  const machine: Machine = {
    name: choices.name,
    device: gpuDevice(choices),
    implementationOf: (op) => choices.own?.get(op) ?? implementations.get(op),
    copy,
    takesStored: choices.takesStored === true,
    withThreads: () => machine,
    plannedMemory() {
      const states = new Map<Tensor, number>();
      let [arena, most] = [0, 0];
      const used = (): number => arena + [...states.values()].reduce((sum, bytes) => sum + bytes, 0);
      const addState = (tensor: Tensor): void => {
        if (stateOf(tensor)) states.set(tensor, byteSize(tensor));
        most = Math.max(most, used());
      };
      return {
        addState,
        forget: (tensor) => void states.delete(tensor),
        place(spec) {
          const memory = withoutMemory();
          const plan = compilePlan(spec, machine, memory);
          for (const tensor of memory.states.keys()) addState(tensor);
          arena = Math.max(arena, plan.arena.bytes);
          most = Math.max(most, used());
          return { plan, release() {} };
        },
        usedBytes: () => most,
      };
    },
  };
  return machine;
}

function copy(label: string, from: Buffer, to: Buffer): Call {
  const words = Math.ceil(from.bytes / 4);
  return {
    label,
    ...kernelCall({
      name: "copy",
      reads: { from: { buffer: from, type: "u32" } },
      writes: { to: { buffer: to, type: "u32" } },
      width: WIDTH,
      groups: Math.ceil(words / WIDTH),
      body: `
  let i: u32 = group * ${u(WIDTH)} + lane;
  if (i < ${u(words)}) { to[i] = from[i]; }`,
    }),
    flops: 0,
  };
}
