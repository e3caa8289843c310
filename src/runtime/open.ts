// Question: which runtime does this computer use?
//
// A runtime is a folder beside this file and an entry of the table below. What it needs is loaded when it is opened,
// so that a machine that is not there costs nothing.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import type { Runtime, RuntimeFound } from "./runtime.ts";
import type { WasmOptions } from "./wasm/runtime.ts";

/** The name of a runtime. */
export type RuntimeName = "webgpu" | "wasm" | "reference";

/** What may be asked for: a runtime by its name, or the fastest that there is. */
export type RuntimeChoice = RuntimeName | "auto";

/** Which runtime, and how it uses the machine; the reference runtime has none of the other options. */
export interface OpenOptions extends WasmOptions {
  /** Default: "auto", the fastest that there is. */
  readonly runtime?: RuntimeChoice;
}

interface RuntimeKind {
  readonly name: RuntimeName;
  /** For people: what it computes with. */
  readonly description: string;
  /** See whether this computer has what it needs. */
  look(): Promise<RuntimeFound>;
  /** The options that it has. */
  readonly options: readonly (keyof WasmOptions)[];
  open(options: WasmOptions): Promise<Runtime>;
  /** Too slow for "auto" to take it. */
  readonly slow?: true;
  /**
   * Asked for by name it takes what "auto" would not: throws an Error that says what is missing, without opening it.
   * Absent: `look` decides.
   */
  expect?(): Promise<void>;
}

/** The fastest first. */
const kinds: readonly RuntimeKind[] = [
  {
    name: "webgpu",
    description: "any GPU by WebGPU, float32",
    options: [],
    look: async () => (await import("./webgpu/node/runtime.ts")).lookForNodeGpu(),
    expect: async () => (await import("./webgpu/node/runtime.ts")).expectNodeGpu(),
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
  return Promise.all(kinds.map(async ({ name, description, look }) => ({ name, description, ...(await look()) })));
}

const optionRules: FieldRules<OpenOptions> = {
  runtime: ["auto", "webgpu", "wasm", "reference"] satisfies RuntimeChoice[],
  threads: "number",
  revectorise: "flag",
  build: ["relaxed", "simd"],
};

/** An option that a runtime does not have would change nothing. */
function expectOptions({ name, description, options: known }: RuntimeKind, options: WasmOptions): void {
  const given = Object.entries(options).find(
    ([option, value]) =>
      value !== undefined && !known.includes(option as keyof WasmOptions) && !isDefault(option, value),
  )?.[0];
  if (given !== undefined)
    throw new RangeError(
      `openRuntime: the ${name} runtime has no option "${given}"; it computes with ${description}. Leave ${given} out, or open another runtime.`,
    );
}

const isDefault = (name: string, value: unknown): boolean =>
  (name === "threads" && value === 1) || (name === "revectorise" && value === true);

/** The command line always says whether to revectorise: what is so by default asks for nothing. */
const asksForProcessor = ({ threads, revectorise, build }: WasmOptions): boolean =>
  threads !== undefined || revectorise === false || build !== undefined;

/**
 * Open a runtime; `close` ends it.
 *
 * @throws RangeError for a name that there is not and for options that make no sense; Error when this computer lacks
 *   what the runtime needs
 */
export async function openRuntime(asked: OpenOptions = {}): Promise<Runtime> {
  expectFields("openRuntime", asked, optionRules);
  const { runtime = "auto", ...options } = asked;
  for (const kind of kinds) {
    const { name, look, open, slow, expect } = kind;
    if (runtime === "auto" ? slow : runtime !== name) continue;
    if (runtime !== "auto") expectOptions(kind, options);
    // Who asks for threads, be it one, or for other vectors asks for the processor.
    else if (kind.options.length === 0 && asksForProcessor(options)) continue;
    if ((runtime !== "auto" && expect) || (await look()).available) return open(options);
  }
  throw notHere(runtime);
}

/**
 * Throw now what `openRuntime` would throw because this computer lacks what the runtime needs: before anything long is
 * begun.
 *
 * @throws Error that says what is missing
 */
export async function expectRuntime(runtime: RuntimeChoice): Promise<void> {
  const kind = kinds.find(({ name }) => name === runtime);
  if (!kind) return;
  if (kind.expect) await kind.expect();
  else if (!(await kind.look()).available) throw notHere(runtime);
}

const notHere = (runtime: RuntimeChoice): Error =>
  new Error(
    runtime === "auto"
      ? "openRuntime: this computer has no runtime that is fast; ask for one by its name, such as reference."
      : `openRuntime: this computer cannot use the ${runtime} runtime; birkhoff doctor says what it has.`,
  );
