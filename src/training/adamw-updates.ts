// Question: how do parameters follow a loss?
//
// By AdamW with clipping, as updates of a program: the gradients of the loss, the norm of all of them together,
// the factor that brings it under a limit, and for each parameter its next value and its next two moments.
//
//   g = gradient · min(1, clip / ‖all gradients‖)
//   m, v ← running means of g and g²;  parameter ← parameter − η (m̂ / (√v̂ + ε) + λ parameter)
//
// What changes from step to step is one input, schedule [3] = η, 1 − β₁^t, 1 − β₂^t. See ops/adamw.ts.

import { expectFields, expectName, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { showValue } from "../basics/show.ts";
import { gradients } from "../ops/gradients.ts";
import {
  type Parameter,
  type ParameterSet,
  type Role,
  roles,
  trainedParameters,
  expectParameters,
} from "../graph/parameters.ts";
import { input, persistent } from "../graph/state.ts";
import type { Tensor } from "../graph/tensor.ts";
import { adamw } from "../ops/adamw.ts";
import { expectAdamw } from "../ops/adamw-rules.ts";
import { clipScale } from "../ops/clip-scale.ts";
import { sumSquares } from "../ops/sum-squares.ts";
import type { Runtime } from "../runtime/runtime.ts";

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
  /** Largest norm of all gradients together; Infinity never clips. Default 1. */
  readonly clip: number;
}

/** The settings that `adamwUpdates` takes where none are given. */
export const adamwDefaults: AdamwSettings = {
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  decayed: ["weight"],
  clip: 1,
};

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
  clip: "number",
};

/** One training step as part of a graph: give `updates` to `Runtime.compile`. */
export interface AdamwStep {
  /** Pairs [state, next value]: every trained parameter and its two moments. */
  readonly updates: readonly (readonly [state: Tensor, value: Tensor])[];
  /** [3]: learning rate, 1 − β₁^t, 1 − β₂^t; written before each run. */
  readonly schedule: Tensor;
  /** [2]: the norm of all gradients before clipping, and the factor that clipped them. */
  readonly clip: Tensor;
  /** For each trained parameter the sum of the squares of its gradient, before clipping. */
  readonly squares: readonly Tensor[];
  /** The two moments of each trained parameter, to be saved beside it. */
  readonly moments: readonly { readonly name: string; readonly tensor: Tensor }[];
}

/** A training step, and the numbers that it needs before each run. */
export interface AdamwUpdates extends AdamwStep {
  /** What `schedule` must hold for a step; steps count from 1. */
  at(step: number): readonly [learningRate: number, correction1: number, correction2: number];
  /** Write `at(step)` to a runtime. */
  write(runtime: Pick<Runtime, "write" | "readNow">, step: number): void;
}

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
  if (typeof learningRate !== "number" && typeof learningRate !== "function")
    throw new TypeError(
      `adamwUpdates: learningRate is ${showValue(learningRate)}; it must be a number, or a function of the step.`,
    );
  const settings: AdamwSettings = { ...adamwDefaults, ...given(chosen) };
  const { beta1, beta2, epsilon, weightDecay, decayed, clip } = settings;
  const fixed = typeof learningRate === "number" ? { learningRate } : {};
  expectAdamw("adamwUpdates", { beta1, beta2, epsilon, weightDecay, clip, ...fixed });
  for (const role of decayed) expectName("adamwUpdates", "decayed", role, roles);
  const trained = trainedParameters(parameters);
  if (trained.length === 0)
    throw new RangeError(
      "adamwUpdates: the set has no parameters, so nothing would be trained. Create them with parameters.create(…) first.",
    );
  const schedule = input("schedule", [3]);
  const byParameter = gradients(
    loss,
    trained.map(({ tensor }) => tensor),
  );
  const rateOf = typeof learningRate === "number" ? () => learningRate : learningRate;
  const at = (step: number): [number, number, number] => {
    const rate = rateOf(step);
    expectAdamw(`adamwUpdates, step ${step}`, { learningRate: rate });
    return adamwSchedule(rate, step, settings);
  };
  let started = false;
  return {
    ...adamwStep(trained, byParameter, schedule, settings),
    at,
    write(runtime, step) {
      if (!started) expectStarted(runtime, trained);
      started = true;
      runtime.write(schedule, at(step));
    },
  };
}

/** Throw if nobody has written the parameters: a model of zeros would train, and learn nothing. */
function expectStarted(runtime: Pick<Runtime, "readNow">, trained: readonly Parameter[]): void {
  const random = trained.find(({ initial }) => "normal" in initial && initial.normal > 0);
  if (random === undefined || runtime.readNow === undefined) return;
  if (runtime.readNow(random.tensor).some((value) => value !== 0)) return;
  throw new Error(
    `adamwUpdates: the parameter "${random.name}" holds only zeros; it must have its first values before the first step. Call initialise(runtime, parameters), or write them.`,
  );
}

/**
 * The updates from gradients that are already a part of the graph, such as sums over microbatches.
 *
 * @param byParameter the gradient of each trained parameter, in their order
 */
export function adamwStep(
  trained: readonly Parameter[],
  byParameter: readonly Tensor[],
  schedule: Tensor,
  { beta1, beta2, epsilon, weightDecay, decayed, clip: limit }: AdamwSettings,
): AdamwStep {
  const squares = byParameter.map(sumSquares);
  const clip = clipScale(squares, limit);
  const moments: { name: string; tensor: Tensor }[] = [];
  const updates = trained.flatMap(({ tensor: param, name, role }, index): [Tensor, Tensor][] => {
    const m = persistent(`${name}.m`, param.shape);
    const v = persistent(`${name}.v`, param.shape);
    moments.push({ name: `${name}.m`, tensor: m }, { name: `${name}.v`, tensor: v });
    const [nextParam, nextM, nextV] = adamw(
      { param, gradient: byParameter[index]!, m, v, schedule, clip },
      { beta1, beta2, epsilon, weightDecay: decayed.includes(role) ? weightDecay : 0 },
    );
    return [
      [param, nextParam],
      [m, nextM],
      [v, nextV],
    ];
  });
  return { updates, schedule, clip, squares, moments };
}

/**
 * The values of `schedule` at a step.
 *
 * @param step counts from 1
 */
export function adamwSchedule(
  learningRate: number,
  step: number,
  { beta1, beta2 }: Pick<AdamwSettings, "beta1" | "beta2">,
): [learningRate: number, correction1: number, correction2: number] {
  return [learningRate, 1 - beta1 ** step, 1 - beta2 ** step];
}
