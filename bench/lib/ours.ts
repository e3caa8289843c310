// Question: how does a peer that is this library's own on the CPU say hello (see `peer.ts`)?

import type { WasmRuntime } from "../../src/runtime/wasm/runtime.ts";
import type { Hello } from "./peer.ts";

/** Who measures: the kernels with their panel's width, and the threads. */
export function ourHello(runtime: WasmRuntime, threads: number): Omit<Hello, "base_rss_bytes"> {
  return { peer: "birkhoff", versions: { kernels: `${runtime.build} 6x${runtime.device.panelWidth}` }, threads };
}
