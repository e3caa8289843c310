// Question: which WebAssembly does this machine run, and how is it instantiated?
//
// Two builds of the kernels: `relaxed` has fused multiply-add (relaxed SIMD), `simd` runs everywhere.
// V8's revectorisation pairs 128-bit operations into 256-bit ones; it must be switched on before the
// first module is compiled, and a start-up probe decides whether it helped.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { interfaceVersion } from "./version.ts";

/** Builds of the kernels. relaxed: fused multiply-add (relaxed SIMD). simd: runs everywhere. */
export type Build = "relaxed" | "simd";

/** (module (func (result v128) relaxed_madd 0 0 0)): valid only where relaxed SIMD is on. */
const RELAXED_PROBE = Uint8Array.of(
  0,
  97,
  115,
  109,
  1,
  0,
  0,
  0,
  1,
  5,
  1,
  96,
  0,
  1,
  123,
  3,
  2,
  1,
  0,
  10,
  19,
  1,
  17,
  0,
  65,
  0,
  253,
  15,
  65,
  0,
  253,
  15,
  65,
  0,
  253,
  15,
  253,
  133,
  2,
  11,
);

export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(RELAXED_PROBE);
}

/** Ask V8 for what it has behind a flag: relaxed SIMD up to Node 20, 256-bit vectors from Node 24. */
export function setEngineFlags(revectorise: boolean): void {
  const major = Number(process.versions.node.split(".")[0]);
  if (major <= 20) setFlagsFromString("--experimental-wasm-relaxed-simd");
  if (major >= 24)
    setFlagsFromString(revectorise ? "--experimental-wasm-revectorize" : "--no-experimental-wasm-revectorize");
}

const fileOf = (build: Build): URL => new URL(`./build/${build}.wasm`, import.meta.url);

/** The beginning of the SHA-256 of a build's code. */
export async function codeOf(build: Build): Promise<string> {
  return createHash("sha256")
    .update(await readFile(fileOf(build)))
    .digest("hex")
    .slice(0, 12);
}

export async function compileModule(build: Build): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(await readFile(fileOf(build)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new Error(`The compiled kernels are missing (${build}.wasm). Run "npm run build" first.`, { cause: error });
    }
    throw error;
  }
}

/** Throw unless the kernels read their arguments and the control block as this runtime writes them. */
function expectVersion(built: unknown): void {
  const [actual, expected] = [
    built instanceof WebAssembly.Global ? Number(built.value) : undefined,
    interfaceVersion(),
  ];
  if (actual === expected) return;
  throw new Error(
    `The compiled kernels (${actual === undefined ? "without a version" : `version ${hex(actual)}`}) do not belong to this runtime ` +
      `(version ${hex(expected)}): they were built from other sources. Run "npm run build:kernels"; for dist, "npm run build".`,
  );
}

const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, "0");

export interface KernelExports {
  startProgram(control: number, program: number, threads: number, scratch: number): void;
  runOne(control: number, record: number, begin: number, end: number, scratch: number): void;
  workerLoop(control: number, threads: number, scratch: number): void;
  currentCall(): number;
  setPanelWidth(width: number): void;
  panelWidth(): number;
  [kernel: string]: CallableFunction;
}

export interface Kernels {
  readonly exports: KernelExports;
  /** Where a kernel lies in the function table; the same in every instance of a module. */
  indexOf(kernel: string): number;
}

/**
 * The kernels over a memory.
 *
 * @param look called by a thread that has waited long for the others
 * @throws Error when the kernels were built from other sources than the ones that call them
 */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  look: () => void = () => undefined,
): Kernels {
  const names = WebAssembly.Module.exports(module)
    .filter(({ kind }) => kind === "function")
    .map(({ name }) => name)
    .sort();
  const table = new WebAssembly.Table({ element: "anyfunc", initial: names.length + 1 });
  const { exports } = new WebAssembly.Instance(module, { env: { memory, table, look } });
  expectVersion(exports.version);
  const kernels = exports as unknown as KernelExports;
  const indices = new Map(names.map((name, index) => [name, index + 1]));
  for (const [name, index] of indices) table.set(index, kernels[name]);
  return {
    exports: kernels,
    indexOf(kernel) {
      const index = indices.get(kernel);
      if (index === undefined) throw new Error(`The kernel module has no "${kernel}"; run "npm run build:kernels".`);
      return index;
    },
  };
}
