// Question: what does a program take of a batch?
//
// Tokens and targets [B, T], and where the loss does not count all targets alike, a weight for each.

import type { Batch } from "../data/batches.ts";
import { input } from "../graph/state.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { TrainingConfig } from "./config.ts";

/** What a batch is written into: i32 tokens and targets, f32 weights, [B, T] each. */
export interface BatchInputs {
  readonly tokens: Tensor;
  readonly targets: Tensor;
  readonly weights: Tensor | undefined;
}

/** What the inputs of a batch depend on. */
export type BatchConfig = Pick<TrainingConfig, "batch" | "model"> & {
  readonly data?: Pick<TrainingConfig["data"], "loss">;
};

/** @param prefix before the names of the inputs */
export function batchInputs({ batch, model: { context }, data }: BatchConfig, prefix = ""): BatchInputs {
  const of = (name: string, dtype: "i32" | "f32"): Tensor => input(`${prefix}${name}`, [batch, context], dtype);
  return {
    tokens: of("tokens", "i32"),
    targets: of("targets", "i32"),
    weights: data?.loss === "answers" ? of("weights", "f32") : undefined,
  };
}

/** Write a batch where a program takes it from. */
export function writeBatch(runtime: Pick<Runtime, "write">, inputs: BatchInputs, batch: Batch): void {
  runtime.write(inputs.tokens, batch.tokens);
  writeTargets(runtime, inputs, batch);
}

/** Write what the loss takes of it. */
export function writeTargets(
  runtime: Pick<Runtime, "write">,
  inputs: BatchInputs,
  batch: Pick<Batch, "targets" | "weights">,
): void {
  runtime.write(inputs.targets, batch.targets);
  if (inputs.weights) runtime.write(inputs.weights, batch.weights ?? new Float32Array(batch.targets.length).fill(1));
}
