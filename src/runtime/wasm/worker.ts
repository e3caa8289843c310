// Question: what does a thread of the CPU runtime do?
// It instantiates the kernels over the shared memory, says that it is ready, and replays programs until told to end.

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
parentPort?.postMessage("ready");
try {
  exports.workerLoop(control, threads, scratch);
} catch (error) {
  recordTrap(memory, control, exports.currentCall(), error);
}
