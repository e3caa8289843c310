// Question: how does Node come to a GPU?
//
// The optional package `webgpu` (Dawn) brings WebGPU to it.

import { existsSync } from "node:fs";
import { showValue } from "../../../basics/show.ts";
import type { RuntimeFound } from "../../runtime.ts";
import { expectAdapter, lookForGpu, type WebgpuDoor } from "../adapter.ts";
import { startWebgpuRuntime, type WebgpuOptions, type WebgpuRuntime } from "../runtime.ts";

/**
 * Open the fastest GPU that WebGPU knows; `close` ends it.
 *
 * @throws Error when there is no WebGPU, no adapter or no device; it says what to do. RangeError for a largest buffer
 *   that is no whole number of at least 1024
 */
export function createWebgpuRuntime(options: WebgpuOptions = {}): Promise<WebgpuRuntime> {
  return startWebgpuRuntime(dawn, options);
}

/** Throw what `createWebgpuRuntime` would throw for want of a GPU. */
export async function expectNodeGpu(): Promise<void> {
  await expectAdapter(dawn);
}

/** See which GPU Node can use. */
export async function lookForNodeGpu(): Promise<RuntimeFound> {
  if (showsGpu()) return lookForGpu(dawn);
  return {
    available: false,
    remedy: "There is no GPU here: none of its devices is in /dev. Training runs on the processor.",
  };
}

let found: Promise<GPU> | undefined;

/** Opened once, however many ask. */
export const dawn: WebgpuDoor = {
  enter: () => (found ??= enter()),
  remedy: "Install the driver of your GPU, with Vulkan, Metal or Direct3D 12; birkhoff doctor says what is found.",
};

async function enter(): Promise<GPU> {
  // Deno and Bun may have their own.
  const { navigator } = globalThis;
  if (navigator?.gpu) return navigator.gpu;
  let provider: { create(options: string[]): GPU; globals: object };
  try {
    const name = "webgpu";
    provider = (await import(name)) as typeof provider;
  } catch (error) {
    throw new Error(
      "webgpu: the package that brings WebGPU to Node is not installed (132 MiB): npm install webgpu@0.6. Or take the wasm runtime (--runtime wasm), which needs nothing.",
      { cause: error },
    );
  }
  Object.assign(globalThis, provider.globals);
  try {
    return provider.create([]);
  } catch (error) {
    throw new Error(
      `webgpu: WebGPU cannot start: ${error instanceof Error ? error.message : showValue(error)}. A driver with Vulkan, Metal or Direct3D 12 is needed.`,
      {
        cause: error,
      },
    );
  }
}

/** Whether Linux shows a device of a GPU. Without one Dawn need not be loaded, which takes time and warns of Vulkan. */
function showsGpu(): boolean {
  if (process.platform !== "linux") return true;
  const devices = ["/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/dri"];
  return devices.some((device) => existsSync(device));
}
