// Question: what does a thread of the CPU runtime do in Node?
// It begins once its event loop has started: only then does Node keep the statistics that tell whether it still runs.

import { parentPort, workerData } from "node:worker_threads";
import type { ThreadStart } from "../host.ts";
import { takePart } from "../take-part.ts";

setImmediate(() => takePart(workerData as ThreadStart, () => parentPort?.postMessage("ready")));
