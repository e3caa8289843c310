// Question: which WebAssembly does this machine run, and how is it instantiated?
//
// Two builds of the kernels: `relaxed` has fused multiply-add (relaxed SIMD), `simd` runs everywhere.

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
  openProgram(control: number, program: number, scratch: number): void;
  joinProgram(control: number, scratch: number): void;
  runOne(control: number, record: number, begin: number, end: number, scratch: number): void;
  workerLoop(control: number, threads: number, scratch: number): void;
  currentCall(): number;
  setPanelWidth(width: number): void;
  panelWidth(): number;
  [kernel: string]: CallableFunction;
}

export interface Kernels {
  readonly exports: KernelExports;
  /** The kernels in the order of the function table, which begins with an empty place. */
  readonly names: readonly string[];
}

/**
 * The kernels over a memory.
 *
 * @param look called by a thread that has waited long for the others
 * @param turn called after each task of an interrupted program
 * @throws Error when the kernels were built from other sources than the ones that call them
 */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  look: () => void = () => undefined,
  turn: () => void = () => undefined,
): Kernels {
  const names = WebAssembly.Module.exports(module)
    .filter(({ kind }) => kind === "function")
    .map(({ name }) => name)
    .sort();
  const table = new WebAssembly.Table({ element: "anyfunc", initial: names.length + 1 });
  const { exports } = new WebAssembly.Instance(module, { env: { memory, table, look, turn } });
  expectVersion(exports.version);
  const kernels = exports as unknown as KernelExports;
  for (const [index, name] of names.entries()) table.set(index + 1, kernels[name]);
  return { exports: kernels, names };
}

/** Where a kernel lies in the function table; the same in every instance of a module. */
export function kernelIndices(names: readonly string[]): (kernel: string) => number {
  const indices = new Map(names.map((name, index) => [name, index + 1]));
  return (kernel) => {
    const index = indices.get(kernel);
    if (index === undefined) throw new Error(`The kernel module has no "${kernel}"; run "npm run build:kernels".`);
    return index;
  };
}
