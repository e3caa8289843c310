// Question: what does a thread of the CPU runtime do?
// It instantiates the kernels over the shared memory, says that it is ready, and replays programs until told to end.

import { recordTrap } from "./failures.ts";
import type { ThreadStart } from "./host.ts";
import { instantiate } from "./module.ts";

/** @param ready called when the next program will be heard of */
export function takePart(start: ThreadStart, ready: () => void): void {
  const { module, memory, control, threads, scratch, panelWidth } = start;
  const { exports } = instantiate(module, memory);
  exports.setPanelWidth(panelWidth);
  ready();
  try {
    exports.workerLoop(control, threads, scratch);
  } catch (error) {
    recordTrap(memory, control, exports.currentCall(), error);
  }
}
