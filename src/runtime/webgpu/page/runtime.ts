// Question: how does a page come to a GPU?
//
// Its browser has WebGPU, in the page and in its workers.

import type { RuntimeFound } from "../../runtime.ts";
import { lookForGpu, type WebgpuDoor } from "../adapter.ts";
import { startWebgpuRuntime, type WebgpuOptions, type WebgpuRuntime } from "../runtime.ts";

const browser: WebgpuDoor = {
  enter() {
    const { gpu } = globalThis.navigator;
    if (gpu) return Promise.resolve(gpu);
    const why = globalThis.isSecureContext
      ? "this browser has no WebGPU, or it is switched off. Take another browser, such as Chrome"
      : "a page has WebGPU only where it is secure. Serve it by https, or from localhost";
    return Promise.reject(new Error(`webgpu: ${why}; or take the wasm runtime.`));
  },
  remedy: "See whether the browser may use the GPU (in Chrome: chrome://gpu), and whether its driver is installed.",
};

/** As that of Node, with the WebGPU of the browser. */
export function createWebgpuRuntime(options: WebgpuOptions = {}): Promise<WebgpuRuntime> {
  return startWebgpuRuntime(browser, options);
}

/** See which GPU the page can use. */
export function lookForPageGpu(): Promise<RuntimeFound> {
  return lookForGpu(browser);
}
