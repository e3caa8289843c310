// Question: is this engine faster with B panels of 16 columns or of 8?
//
// With V8's revectorisation (or 32 vector registers) the 6x16 tile runs near the peak; without, its 24
// accumulators spill and it runs at half the speed of the 6x8 tile. Only timing tells which it is. A new
// module first runs in V8's baseline code: the probe calls both tiles in turn until the optimised code
// has arrived, keeps the best time of each, and checks both results against plain JavaScript, before and after.

import { writeArguments } from "./call.ts";

/** What the probe needs of a kernel module: the panel width, and the kernels `packB` and `gemmRows`. */
export interface KernelExports {
  setPanelWidth(width: number): void;
  panelWidth(): number;
  readonly [kernel: string]: CallableFunction;
}

export type PanelWidth = 8 | 16;

export interface PanelProbe {
  readonly panelWidth: PanelWidth;
  /** Best speed of each width; 0 where the build does not have it. */
  readonly gflops: Readonly<Record<PanelWidth, number>>;
}

type Kernel = (args: number, begin: number, end: number, scratch: number) => void;

const M = 48;
const K = 128;
const N = 128;
/** The wide tile must be this much faster to be chosen. */
const MARGIN = 1.1;
/** Milliseconds: the probe ends when neither width has got faster for QUIET, at the latest after LONGEST. */
const QUIET = 4;
const LONGEST = 120;
/** GFLOP/s that baseline code does not reach: below it the optimised code is still being compiled. */
const OPTIMISED = 15;
/** The kernels use less than this of their scratch for one tile of 48 rows; the operands lie behind it. */
const OPERANDS = 512 * 1024;
/** Bytes for the arguments of one call. */
const ARGUMENTS = 64;

/**
 * Time both panel widths on a small product.
 *
 * `region` is the address of 1 MiB of `memory` that nothing else uses. The module is left set to the
 * width that won. Throws if a tile computes a wrong result: then the engine, not the speed, is at fault.
 */
export function probePanelWidth(exports: KernelExports, memory: WebAssembly.Memory, region: number): PanelProbe {
  const floats = new Float32Array(memory.buffer);
  const a = region + OPERANDS;
  const b = a + 4 * M * K;
  const packed = { 8: b + 4 * K * N, 16: b + 8 * K * N };
  const c = b + 12 * K * N;
  const packing = c + 4 * M * N;
  const multiplying = { 8: packing + ARGUMENTS, 16: packing + 2 * ARGUMENTS };
  const A = floats.subarray(a / 4, a / 4 + M * K);
  const B = floats.subarray(b / 4, b / 4 + K * N);
  const C = floats.subarray(c / 4, c / 4 + M * N);
  // Small integers over 16: every product and sum is exact in float32, fused or not, so results must be equal.
  A.forEach((_, i) => {
    A[i] = (((i * 37) % 31) - 15) / 16;
  });
  B.forEach((_, i) => {
    B[i] = (((i * 53) % 29) - 14) / 16;
  });
  const expected = product(A, B);

  const call = (kernel: string, items: number, args: number): void =>
    (exports[kernel] as Kernel)(args, 0, items, region);
  const multiply = (width: PanelWidth): number => {
    exports.setPanelWidth(width);
    const start = performance.now();
    call("gemmRows", M, multiplying[width]);
    return performance.now() - start;
  };

  exports.setPanelWidth(16);
  const widths: readonly PanelWidth[] = exports.panelWidth() === 16 ? [8, 16] : [8];
  for (const width of widths) {
    exports.setPanelWidth(width);
    const to = packed[width];
    writeArguments(memory.buffer, packing, "packB", { B: b, packed: to }, { K, N, ldb: N, transposed: 0, rounded: 0 });
    call("packB", N / width, packing);
    const product = { A: a, B: to, C0: undefined, C: c };
    writeArguments(memory.buffer, multiplying[width], "gemmRows", product, { K, N, lda: K, ldc: N });
    C.fill(NaN);
    multiply(width);
    check(C, expected, width);
  }

  const best: Record<PanelWidth, number> = { 8: Infinity, 16: Infinity };
  const gflops = (width: PanelWidth): number => (2 * M * K * N) / best[width] / 1e6;
  const start = performance.now();
  for (let now = start, improved = start; now - start < LONGEST; now = performance.now()) {
    if (now - improved > QUIET && widths.every((width) => gflops(width) > OPTIMISED)) break;
    for (const width of widths) {
      const time = multiply(width);
      if (time < 0.9 * best[width]) improved = now;
      best[width] = Math.min(best[width], time);
    }
  }
  for (const width of widths) {
    C.fill(NaN);
    multiply(width);
    check(C, expected, width);
  }
  const panelWidth: PanelWidth = best[16] * MARGIN < best[8] ? 16 : 8;
  exports.setPanelWidth(panelWidth);
  return { panelWidth, gflops: { 8: gflops(8), 16: gflops(16) } };
}

function product(A: Float32Array, B: Float32Array): Float64Array {
  const C = new Float64Array(M * N);
  for (let i = 0; i < M; i++) {
    for (let k = 0; k < K; k++) {
      const s = A[i * K + k]!;
      for (let j = 0; j < N; j++) C[i * N + j]! += s * B[k * N + j]!;
    }
  }
  return C;
}

function check(actual: Float32Array, expected: Float64Array, width: PanelWidth): void {
  const wrong = expected.findIndex((value, i) => actual[i] !== value);
  if (wrong < 0) return;
  throw new Error(
    `The WebAssembly matrix product with panels of ${width} columns is wrong on this engine: ` +
      `C[${Math.floor(wrong / N)}, ${wrong % N}] is ${actual[wrong]}, should be ${expected[wrong]}. ` +
      `Try another version of Node (or of the browser), or switch revectorisation off.`,
  );
}
