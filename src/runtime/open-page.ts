// Question: which runtime does a page use?
//
// All of it is loaded with the page: a worker then needs no other files than those of its threads and kernels.

import { type KindOptions, listKinds, openKind, type RuntimeKind } from "./kinds.ts";
import { createReferenceRuntime } from "./reference/runtime.ts";
import type { Runtime, RuntimeFound } from "./runtime.ts";
import { createWasmRuntime } from "./wasm/page/runtime.ts";
import type { WasmOptions } from "./wasm/runtime.ts";
import { createWebgpuRuntime, lookForPageGpu } from "./webgpu/page/runtime.ts";

/** The name of a runtime of a page. */
export type PageRuntimeName = "webgpu" | "wasm" | "reference";

/** Which runtime, and how it uses the machine; only that of WebAssembly has threads and builds. */
export interface PageOptions extends Pick<WasmOptions, "threads" | "build"> {
  /** Default: "auto", the fastest that there is. */
  readonly runtime?: PageRuntimeName | "auto";
}

/** A runtime as this page has it, or has it not. */
export interface PageRuntimeListing extends RuntimeFound {
  readonly name: PageRuntimeName;
  readonly description: string;
}

/** The fastest first. */
const kinds: readonly RuntimeKind<PageRuntimeName>[] = [
  {
    name: "webgpu",
    description: "any GPU by WebGPU, float32",
    options: [],
    tellsWhatIsMissing: true,
    look: lookForPageGpu,
    open: () => createWebgpuRuntime(),
  },
  {
    name: "wasm",
    options: ["threads", "build"],
    description: "the processor, float32: all cores where the page is cross-origin isolated, else one",
    look: () => Promise.resolve({ available: typeof WebAssembly === "object" }),
    open: createWasmRuntime,
  },
  {
    name: "reference",
    options: [],
    description: "one core, float64, by plain loops: slow and exact",
    look: () => Promise.resolve({ available: true }),
    open: () => Promise.resolve(createReferenceRuntime()),
    slow: true,
  },
];

/** Every runtime of a page, the fastest first. */
export function listRuntimes(): Promise<readonly PageRuntimeListing[]> {
  return listKinds(kinds);
}

/**
 * Open a runtime in a page or in a worker of it; `close` ends it. "auto" takes a GPU where there is one, else
 * WebAssembly with one thread for each core where the page is cross-origin isolated, else with one.
 *
 * In a page itself nothing blocks: steps are computed in a worker, and reads are promises. In a dedicated worker the
 * calling thread takes part in the computing.
 *
 * @throws RangeError for a name that there is not, for options that make no sense and for several threads in a page
 *   that is not isolated; Error when this browser lacks what the runtime needs
 */
export function openRuntime(asked: PageOptions = {}): Promise<Runtime> {
  const options: KindOptions<PageRuntimeName> = asked;
  return openKind(kinds, options, "listRuntimes()");
}
