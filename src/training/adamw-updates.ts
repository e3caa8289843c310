// Question: how do parameters follow a loss by AdamW?
//
//   g = gradient · min(1, clip / ‖all gradients‖)
//   m, v ← running means of g and g²;  parameter ← parameter − η (m̂ / (√v̂ + ε) + λ parameter)
//
// One of the optimizers (optimizers/), by a function of its own, for it is the usual one. See ops/adamw.ts.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { expectParameters, type ParameterSet, type Role } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { expectAdamw } from "../ops/adamw-rules.ts";
import type { ClipConfig } from "./optimizers/clipping.ts";
import type { OptimizerStep } from "./optimizers/step.ts";
import { type OptimizerUpdates, updatesOf } from "./optimizers/updates.ts";

/** The constants of AdamW for all parameters of a model. */
export interface AdamwSettings {
  /** β₁, how slowly the mean of the gradients follows. Default 0.9. */
  readonly beta1: number;
  /** β₂, how slowly the mean of their squares follows. Default 0.95. */
  readonly beta2: number;
  /** ε, added to the root of the second moment. Default 1e-8. */
  readonly epsilon: number;
  /** λ: a step takes away learning rate · λ of a parameter that decays. Default 0.1. */
  readonly weightDecay: number;
  /** Roles of the parameters that decay. Default ["weight"]: norms, embeddings and connections do not. */
  readonly decayed: readonly Role[];
  /** Largest norm of all gradients together; Infinity never clips; or adaptive. Default 1. */
  readonly clip: ClipConfig | "adaptive";
}

/** What can be chosen of a training step with AdamW. */
export interface AdamwOptions extends Partial<AdamwSettings> {
  /** The learning rate, or the rate of each step; steps count from 1. Default 3e-3. */
  readonly learningRate?: number | ((step: number) => number);
}

/** The kinds of the fields, for those that add to them. */
export const adamwFields: FieldRules<AdamwOptions> = {
  learningRate: "anything",
  beta1: "number",
  beta2: "number",
  epsilon: "number",
  weightDecay: "number",
  decayed: "list",
  clip: "anything",
};

/** One training step as part of a graph: give `updates` to `Runtime.compile`. */
export type AdamwStep = OptimizerStep;

/** A training step, and the numbers that it needs before each run. */
export type AdamwUpdates = OptimizerUpdates;

/**
 * Train the parameters of a loss by AdamW: gradients, clipping by their common norm, and the updates. A step
 * whose gradients have no finite norm changes nothing.
 *
 * @param loss a tensor of one element
 * @returns `updates` for `Runtime.compile`; call `write(runtime, step)` before each run of the program
 * @throws ShapeError when the loss is not one element; RangeError for settings with which AdamW cannot work in float32
 *   (ops/adamw-rules.ts), of a learning rate by step from `at` and `write`; Error from the first `write` when a
 *   parameter that starts at random holds zeros, because `initialise` was forgotten
 */
export function adamwUpdates(parameters: ParameterSet, loss: Tensor, options: AdamwOptions = {}): AdamwUpdates {
  expectParameters("adamwUpdates", parameters);
  expectFields("adamwUpdates", options, adamwFields);
  const { learningRate = 3e-3, ...chosen } = options;
  const { clip, decayed, ...numbers } = given(chosen);
  expectAdamw("adamwUpdates", numbers);
  return updatesOf("adamwUpdates", parameters, loss, { learningRate, ...numbers, ...given({ clip, decayed }) });
}
