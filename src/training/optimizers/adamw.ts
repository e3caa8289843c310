// Question: how does AdamW move a parameter? See ops/adamw.ts, which is one operation on every machine.

import { adamw } from "../../ops/adamw.ts";
import type { OptimizerEntry, UpdateRule } from "./rule.ts";
import { setting } from "./setting-rules.ts";

/** AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101). */
export interface AdamwRule {
  /** Absent in configurations that name no optimizer. */
  readonly kind?: "adamw";
  /** β₁, how slowly the mean of the gradients follows. */
  readonly beta1: number;
  /** β₂, how slowly the mean of their squares follows. */
  readonly beta2: number;
  /** ε, added to the root of the second moment. */
  readonly epsilon: number;
}

export const adamwEntry: OptimizerEntry<AdamwRule> = {
  kind: "adamw",
  title: "Adam with decoupled weight decay (arXiv 1711.05101)",
  usual: { learningRate: 2e-3, weightDecay: 0.1 },
  settings: {
    beta1: setting("beta1").default(0.9),
    beta2: setting("beta2").default(0.95),
    epsilon: setting("epsilon").default(1e-8),
  },
  schedule: (rate, step, settings) => adamwSchedule(rate, step, settings),
  rule: ({ shape }, settings, weightDecay) => adamwRule(shape, settings, weightDecay),
};

/**
 * The values of `schedule` at a step.
 *
 * @param step counts from 1
 */
export function adamwSchedule(
  learningRate: number,
  step: number,
  { beta1, beta2 }: Pick<AdamwRule, "beta1" | "beta2">,
): [learningRate: number, correction1: number, correction2: number] {
  return [learningRate, 1 - beta1 ** step, 1 - beta2 ** step];
}

export const adamwRule = (
  shape: readonly number[],
  { beta1, beta2, epsilon }: Omit<AdamwRule, "kind">,
  weightDecay: number,
): UpdateRule => ({
  states: { m: shape, v: shape },
  elementwise: `adamw ${weightDecay}`,
  next({ param, gradient, states, schedule, clip }) {
    const { m, v } = states as { m: typeof param; v: typeof param };
    const [next, nextM, nextV] = adamw(
      { param, gradient, m, v, schedule, clip },
      { beta1, beta2, epsilon, weightDecay },
    );
    return { param: next, states: { m: nextM, v: nextV } };
  },
});
