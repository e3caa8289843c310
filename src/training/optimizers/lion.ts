// Question: how does Lion move a parameter (Chen et al. 2023, arXiv 2302.06675)?
//
//   u = β₁ m + (1 − β₁) g,  m' = β₂ m + (1 − β₂) g,  p' = (1 − η λ) p − η sign(u)
//
// Every number moves by η, whatever the size of its gradient: clipping changes only the weight of a step in m. It keeps one
// state, where AdamW keeps two. The authors take a rate 3 to 10 times smaller than AdamW's, and a λ as much larger.

import type { Tensor } from "../../graph/tensor.ts";
import { add, multiply, negate, scale, subtract } from "../../ops/elementwise.ts";
import { entry, positive } from "../../ops/masks.ts";
import { type OptimizerEntry, ruleOf } from "./rule.ts";
import { setting } from "./setting-rules.ts";

/** Lion (Chen et al. 2023, arXiv 2302.06675). */
export interface LionRule {
  readonly kind: "lion";
  /** β₁, the share of the old momentum in the direction of a step. */
  readonly beta1: number;
  /** β₂, how slowly the momentum follows. */
  readonly beta2: number;
}

/** 1, −1, or 0 of 0: [...] → [...]. */
const sign = (x: Tensor): Tensor => subtract(positive(x), positive(negate(x)));

export const lionEntry: OptimizerEntry<LionRule> = {
  kind: "lion",
  title: "the sign of a momentum (arXiv 2302.06675)",
  usual: { learningRate: 1e-3, weightDecay: 0.2 },
  settings: { beta1: setting("beta1").default(0.9), beta2: setting("beta2").default(0.99) },
  schedule: (rate) => [rate, 0, 0],
  rule: ({ shape }, { beta1, beta2 }, weightDecay) =>
    ruleOf({
      states: { m: shape },
      elementwise: `lion ${weightDecay}`,
      next({ param, gradient, states, schedule }) {
        const m = states["m"]!;
        const rate = entry(schedule, 0, param.shape);
        const direction = sign(add(scale(m, beta1), scale(gradient, 1 - beta1)));
        return {
          param: subtract(param, multiply(rate, add(direction, scale(param, weightDecay)))),
          states: { m: add(scale(m, beta2), scale(gradient, 1 - beta2)) },
        };
      },
    }),
};
