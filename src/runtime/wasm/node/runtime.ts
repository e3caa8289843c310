// Question: how is the CPU runtime opened in Node?

import { startWasmRuntime, type WasmOptions, type WasmRuntime } from "../runtime.ts";
import { nodeHost } from "./host.ts";

/**
 * Start the threads of the WebAssembly runtime. `close` ends them; a process with an open runtime can
 * still exit.
 *
 * @throws RangeError when the number of threads is not a whole number from 1 to 256; Error from `compile`
 *   or `write` when more than 4 GiB are needed
 */
export function createWasmRuntime(options: WasmOptions = {}): Promise<WasmRuntime> {
  return startWasmRuntime(nodeHost, options);
}
