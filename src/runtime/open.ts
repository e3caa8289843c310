// Question: which runtime does this computer use?
//
// A runtime is a folder beside this file and an entry of the table below. What it needs is loaded when it is opened,
// so that a machine that is not there costs nothing.

import { listKinds, openKind, type RuntimeKind } from "./kinds.ts";
import type { Runtime, RuntimeFound } from "./runtime.ts";
import type { WasmOptions } from "./wasm/runtime.ts";

/** The name of a runtime. */
export type RuntimeName = "cuda" | "webgpu" | "wasm" | "reference";

/** What may be asked for: a runtime by its name, or the fastest that there is. */
export type RuntimeChoice = RuntimeName | "auto";

/** Which runtime, and how it uses the machine; the reference runtime has none of the other options. */
export interface OpenOptions extends WasmOptions {
  /** Default: "auto", the fastest that there is. */
  readonly runtime?: RuntimeChoice;
}

/** The fastest first. */
const kinds: readonly RuntimeKind<RuntimeName>[] = [
  {
    name: "cuda",
    description: "an NVIDIA GPU by CUDA, float32",
    options: [],
    tellsWhatIsMissing: true,
    look: async () => (await import("./cuda/find.ts")).lookForCuda(),
    open: async () => (await import("./cuda/runtime.ts")).createCudaRuntime(),
  },
  {
    name: "webgpu",
    description: "any GPU by WebGPU, float32",
    options: [],
    tellsWhatIsMissing: true,
    expect: async () => (await import("./webgpu/node/runtime.ts")).expectNodeGpu(),
    look: async () => (await import("./webgpu/node/runtime.ts")).lookForNodeGpu(),
    open: async () => (await import("./webgpu/node/runtime.ts")).createWebgpuRuntime(),
  },
  {
    name: "wasm",
    options: ["threads", "revectorise", "build"],
    description: "all cores of the processor, float32",
    look: () => Promise.resolve({ available: typeof WebAssembly === "object" }),
    open: async (options) => (await import("./wasm/node/runtime.ts")).createWasmRuntime(options),
  },
  {
    name: "reference",
    options: [],
    description: "one core, float64, by plain loops: slow and exact",
    look: () => Promise.resolve({ available: true }),
    open: async () => (await import("./reference/runtime.ts")).createReferenceRuntime(),
    slow: true,
  },
];

/** All that `openRuntime` takes, "auto" first. */
export const runtimeChoices: readonly RuntimeChoice[] = ["auto", ...kinds.map(({ name }) => name)];

/** A runtime as this computer has it, or has it not. */
export interface RuntimeListing extends RuntimeFound {
  readonly name: RuntimeName;
  readonly description: string;
}

/** Every runtime, the fastest first. */
export function listRuntimes(): Promise<readonly RuntimeListing[]> {
  return listKinds(kinds);
}

/**
 * Open a runtime; `close` ends it.
 *
 * @throws RangeError for a name that there is not and for options that make no sense; Error when this computer lacks
 *   what the runtime needs
 */
export function openRuntime(asked: OpenOptions = {}): Promise<Runtime> {
  return openKind(kinds, asked, "birkhoff doctor");
}

/**
 * Throw now what `openRuntime` would throw because this computer lacks what a runtime needs, where that can be seen
 * without opening it: before anything long is begun.
 *
 * @throws Error that says what is missing
 */
export async function expectRuntime(runtime: RuntimeChoice): Promise<void> {
  const kind = kinds.find(({ name }) => name === runtime);
  if (kind?.expect) return kind.expect();
  const { available = true, remedy = "" } = (await kind?.look()) ?? {};
  if (!available) throw new Error(`openRuntime: this computer cannot use the ${runtime} runtime. ${remedy}`.trimEnd());
}
