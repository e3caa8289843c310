// Question: what do all tests of several ranks need?

import { afterAll, beforeAll } from "vitest";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { createWasmRuntime } from "../../../src/runtime/wasm/node/runtime.ts";
import type { StepResult, Trainer } from "../../../src/training/trainer.ts";

/** A runtime for each rank, open while the tests of the file run; filled before the first. */
export function runtimesOfRanks(ranks: number, threadsOf: (rank: number) => number = () => 1): readonly Runtime[] {
  const runtimes: Runtime[] = [];
  beforeAll(async () => {
    for (let rank = 0; rank < ranks; rank++) runtimes.push(await createWasmRuntime({ threads: threadsOf(rank) }));
  });
  afterAll(() => runtimes.forEach((runtime) => runtime.close()));
  return runtimes;
}

/** Do something with a trainer, and release it. */
export async function withTrainer<T>(trainer: Trainer, work: (trainer: Trainer) => Promise<T>): Promise<T> {
  try {
    return await work(trainer);
  } finally {
    trainer.release();
  }
}

export const losses = ({ results }: { readonly results: readonly StepResult[] }): number[] =>
  results.map(({ loss }) => loss);
