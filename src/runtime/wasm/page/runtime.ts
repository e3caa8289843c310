// Question: how is the CPU runtime opened in a page, or in a worker of it?

import type { Runtime } from "../../runtime.ts";
import { chooseThreads } from "../engine.ts";
import { startWasmRuntime, type WasmOptions } from "../runtime.ts";
import { pageHost } from "./host.ts";
import { startRemoteRuntime } from "./remote.ts";

/** Whether the calling thread may wait for others. */
const mayWait = (): boolean => "DedicatedWorkerGlobalScope" in globalThis;

/** A dedicated worker computes itself; elsewhere, such as in a page, workers do. */
export async function createWasmRuntime(options: WasmOptions = {}): Promise<Runtime> {
  if (mayWait()) return await startWasmRuntime(pageHost, options);
  return await startRemoteRuntime(chooseThreads(pageHost, options.threads), options);
}
