// Question: is there a GPU for the tests, or a processor that plays its part (SwiftShader, which comes with Chromium)?

import { findAdapter } from "../../../src/runtime/webgpu/adapter.ts";
import { dawn } from "../../../src/runtime/webgpu/node/runtime.ts";

/** Whether WebGPU can be tested here; says why not, once a file. */
export async function hasWebgpu(): Promise<boolean> {
  try {
    if (await findAdapter(dawn)) return true;
    process.stdout.write("WebGPU is not tested: there is no adapter; install Chromium, whose SwiftShader is one\n");
  } catch (error) {
    process.stdout.write(`WebGPU is not tested: ${(error as Error).message}\n`);
  }
  return false;
}
