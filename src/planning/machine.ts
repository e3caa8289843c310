// Question: what can this machine do, measured?
//
// Two short programs on the CPU runtime, the best of a few hundred milliseconds each: a product of square
// matrices for the rate of operations, and a plain copy larger than the caches for the memory.

import { availableParallelism, totalmem } from "node:os";
import { performance } from "node:perf_hooks";
import { persistent } from "../graph/state.ts";
import { matmul } from "../ops/matmul.ts";
import { slice } from "../ops/slice.ts";
import type { Program, Runtime } from "../runtime/runtime.ts";
import type { Hardware } from "./hardware.ts";

const SIZE = 768;
/** Rows of 1024 values: 64 MiB. */
const ROWS = 16384;
const COLUMNS = 1024;
const MILLISECONDS = 300;

/**
 * A profile of this machine as the CPU runtime finds it. Takes under a second and 130 MiB of memory, which the runtime then has
 * for other programs.
 */
export async function measureMachine(runtime: Runtime): Promise<Hardware> {
  const [a, b] = [persistent("planning.a", [SIZE, SIZE]), persistent("planning.b", [SIZE, SIZE])];
  const product = runtime.compile({ outputs: { product: matmul(a, b) } });
  // One row more than is taken: a slice of everything would be no copy.
  const source = persistent("planning.source", [ROWS + 1, COLUMNS]);
  const copy = runtime.compile({ outputs: { copy: slice(source, 0, 0, ROWS) } });
  const rate = (2 * SIZE ** 3) / (await bestSeconds(runtime, product));
  const bandwidth = (2 * 4 * ROWS * COLUMNS) / (await bestSeconds(runtime, copy));
  for (const program of [product, copy]) program.release();
  for (const state of [a, b, source]) runtime.forget(state);
  return {
    name: `this machine (${runtime.device.threads} of ${availableParallelism()} threads, float32)`,
    peak: { bf16: rate, tf32: rate, fp32: rate },
    bandwidth,
    memoryBytes: Math.min(totalmem(), runtime.device.largestMemory),
    measured: true,
  };
}

async function bestSeconds(runtime: Runtime, { run }: Pick<Program, "run">): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  const end = performance.now() + MILLISECONDS;
  do {
    const start = performance.now();
    run();
    await runtime.finish();
    best = Math.min(best, performance.now() - start);
  } while (performance.now() < end);
  return best / 1000;
}
