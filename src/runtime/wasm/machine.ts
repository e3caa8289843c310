// Question: what is the CPU to the plan, whether a runtime has been started on it or not?

import type { Buffer, Call } from "../plan/calls.ts";
import type { Machine } from "../plan/machine.ts";
import { operandList, wordList } from "./call.ts";
import { cpuDevice, type CpuChoices } from "./device.ts";
import { createHeap } from "./heap.ts";
import { createLayout, reserve, STATIC_BYTES } from "./layout.ts";
import { implementations } from "./ops/table.ts";
import { cutPlan, partWords } from "./parts.ts";

/** The CPU with so many threads; panels have 16 columns where V8 pairs vector operations, else 8. */
export function wasmMachine(choices: CpuChoices): Machine {
  const device = cpuDevice(choices);
  const machine: Machine = {
    name: "wasm",
    device,
    implementationOf: (op) => implementations.get(op),
    copy,
    runsInParts: true,
    withThreads: (threads) => wasmMachine({ ...choices, threads }),
    plannedMemory() {
      const heap = createHeap(STATIC_BYTES);
      reserve(heap, device);
      const layout = createLayout(heap, machine, { begin() {}, move() {}, write() {}, drop() {} });
      return {
        addState: (tensor) => void layout.state(tensor),
        forget: (tensor) => layout.forget(tensor),
        place(spec) {
          const { plan, release } = layout.place(spec, false, () => {});
          let list: number | undefined;
          return {
            plan,
            placeParts: () => void (list ??= heap.allocate(4 * partWords(cutPlan(plan, spec, device.threads)))),
            release() {
              release();
              if (list !== undefined) heap.release(list);
              list = undefined;
            },
          };
        },
        usedBytes: () => heap.used(),
      };
    },
  };
  return machine;
}

function copy(label: string, from: Buffer, to: Buffer): Call {
  return {
    kernel: "copy",
    label,
    domain: 1,
    grain: 1,
    inPlace: [],
    flops: 0,
    operands: operandList("copy", {
      from: { buffer: from, access: "read", aligned: false },
      to: { buffer: to, access: "write", aligned: false },
    }),
    words: wordList("copy", { bytes: from.bytes }),
  };
}
