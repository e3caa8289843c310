// Question: what does a thread of the CPU runtime do?
// It instantiates the kernels over the shared memory, says that it is ready, and replays programs until told to end.
// This begins once its event loop has started: only then does Node keep the statistics that tell whether it still runs.

import { parentPort, workerData } from "node:worker_threads";
import { recordTrap } from "./failures.ts";
import { instantiate } from "./module.ts";

export interface WorkerData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  readonly threads: number;
  readonly scratch: number;
  readonly panelWidth: number;
}

const { module, memory, control, threads, scratch, panelWidth } = workerData as WorkerData;
const { exports } = instantiate(module, memory);
exports.setPanelWidth(panelWidth);
setImmediate(() => {
  parentPort?.postMessage("ready");
  try {
    exports.workerLoop(control, threads, scratch);
  } catch (error) {
    recordTrap(memory, control, exports.currentCall(), error);
  }
});
