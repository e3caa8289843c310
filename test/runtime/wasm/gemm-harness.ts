// Where the matrix products are called one by one: a memory with the matrices, and the float64 sums that they are held against.
//
// The error of a sum of K products is at most gamma * sum |a b| with gamma = 2 (K + 2) 2^-24 (two
// roundings a step where multiply-add is not fused).

import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { type Pointers, type Words, writeArguments } from "../../../src/runtime/wasm/call.ts";
import type { Build, KernelExports } from "../../../src/runtime/wasm/module.ts";

// The tests run the code that training runs: with revectorisation, and optimised (the probe sees to that).
if (Number(process.versions.node.split(".")[0]) >= 24) setFlagsFromString("--experimental-wasm-revectorize");

export const relaxed: boolean = WebAssembly.validate(
  readFileSync(new URL("../../../src/runtime/wasm/build/relaxed.wasm", import.meta.url)),
);

type Kernel = "packB" | "gemmRows" | "gemmPanels" | "gemmOuter" | "gemmBatched" | "gemv";
export type KernelFunction = (args: number, begin: number, end: number, scratch: number) => void;

export const memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: 512, maximum: 512, shared: true });
export const words: Int32Array = new Int32Array(memory.buffer);
export const floats: Float32Array = new Float32Array(memory.buffer);
export const halves: Uint16Array = new Uint16Array(memory.buffer);
export const scratch = 65536;
const args = scratch + (1 << 20);
const heap = args + 1024;

/** Matrices from the start of the heap, each followed by the 64 bytes that a kernel may read. */
export class Heap {
  #top = heap;
  alloc(count: number): number {
    const address = this.#top;
    this.#top = (address + 4 * count + 127) & ~63;
    if (this.#top > memory.buffer.byteLength) throw new Error("The test needs a larger memory.");
    return address;
  }
  random(count: number): number {
    const address = this.alloc(count);
    for (let i = 0; i < count; i++) floats[address / 4 + i] = Math.random() * 2 - 1;
    return address;
  }
}

export const at = (address: number, index: number): number => floats[address / 4 + index]!;
export const bits = (address: number, count: number): Int32Array => words.slice(address / 4, address / 4 + count);

export interface Variant {
  readonly name: string;
  readonly build: Build;
  readonly width: 8 | 16;
}

export const variants: readonly Variant[] = [
  ...(relaxed
    ? ([
        { name: "fused, panels of 16", build: "relaxed", width: 16 },
        { name: "fused, panels of 8", build: "relaxed", width: 8 },
      ] as const)
    : []),
  { name: "plain SIMD", build: "simd", width: 8 },
];

/** Fill scratch with NaN before every call: a kernel may not count on its contents. */
export function call<K extends Kernel>(
  exports: KernelExports,
  kernel: K,
  pointers: Pointers<NoInfer<K>, number>,
  sizes: Words<NoInfer<K>>,
  domain: number,
  grain: number,
): void {
  writeArguments(memory.buffer, args, kernel, pointers, sizes);
  floats.fill(NaN, scratch / 4, args / 4);
  for (let begin = 0; begin < domain; begin += grain) {
    (exports[kernel] as KernelFunction)(args, begin, Math.min(begin + grain, domain), scratch);
  }
}

export interface Shape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Compare C with the float64 sum of a(i, k) * b(k, j) and an addend, and what lies around C with NaN. */
export function expectProduct(
  { M, N, K }: Shape,
  c: number,
  ldc: number,
  a: (i: number, k: number) => number,
  b: (k: number, j: number) => number,
  addend: (i: number, j: number) => number,
): void {
  const gamma = 2 * (K + 2) * 2 ** -24;
  for (let i = 0; i < M; i++) {
    for (let j = 0; j < N; j++) {
      let sum = addend(i, j);
      let size = Math.abs(sum);
      for (let k = 0; k < K; k++) {
        const term = a(i, k) * b(k, j);
        sum += term;
        size += Math.abs(term);
      }
      const actual = at(c, i * ldc + j);
      if (!(Math.abs(actual - sum) <= gamma * size)) {
        throw new Error(`M=${M} N=${N} K=${K}: C[${i}, ${j}] is ${actual}, should be ${sum}`);
      }
    }
    for (let j = N; j < ldc; j++) {
      if (!Number.isNaN(at(c, i * ldc + j))) throw new Error(`M=${M} N=${N} K=${K}: wrote beside C, at [${i}, ${j}]`);
    }
  }
}

const sizes = [1, 2, 5, 6, 7, 8, 15, 16, 17, 47, 48, 49, 100];
export const cube: readonly Shape[] = sizes.flatMap((M) => sizes.flatMap((N) => sizes.map((K) => ({ M, N, K }))));

export function packed(
  exports: KernelExports,
  memoryHeap: Heap,
  b: number,
  { N, K }: Shape,
  ldb: number,
  transposed: boolean,
): number {
  const width = exports.panelWidth();
  const panels = Math.ceil(N / width);
  const address = memoryHeap.alloc(panels * width * K);
  call(
    exports,
    "packB",
    { B: b, packed: address },
    { K, N, ldb, transposed: Number(transposed), rounded: 0 },
    panels,
    3,
  );
  return address;
}
