// Question: how does gradient descent with momentum move a parameter (Polyak 1964; Nesterov as Sutskever et al. 2013)?
//
//   g ← g + λ p,  m' = μ m + g,  p' = p − η m'   or, with Nesterov's look ahead,  p' = p − η (g + μ m')
//
// As torch.optim.SGD: the weight decay is a part of the gradient, so the momentum carries it, too.

import { add, multiply, scale, subtract } from "../../ops/elementwise.ts";
import { entry } from "../../ops/masks.ts";
import { type OptimizerEntry, ruleOf } from "./rule.ts";
import { setting, settingFlag } from "./setting-rules.ts";

/** Stochastic gradient descent with momentum, as torch.optim.SGD. */
export interface SgdRule {
  readonly kind: "sgd";
  /** μ, the share of the momentum that is kept. */
  readonly momentum: number;
  /** Whether the step looks ahead along the momentum. */
  readonly nesterov: boolean;
}

export const sgdEntry: OptimizerEntry<SgdRule> = {
  kind: "sgd",
  title: "gradient descent with momentum, as torch.optim.SGD",
  usual: { learningRate: 0.1, weightDecay: 1e-4 },
  settings: { momentum: setting("momentum").default(0.9), nesterov: settingFlag.default(false) },
  schedule: (rate) => [rate, 0, 0],
  rule: ({ shape }, { momentum, nesterov }, weightDecay) =>
    ruleOf({
      states: { m: shape },
      elementwise: `sgd ${weightDecay}`,
      next({ param, gradient, states, schedule }) {
        const decayed = weightDecay === 0 ? gradient : add(gradient, scale(param, weightDecay));
        const m = add(scale(states["m"]!, momentum), decayed);
        const direction = nesterov ? add(decayed, scale(m, momentum)) : m;
        return { param: subtract(param, multiply(entry(schedule, 0, param.shape), direction)), states: { m } };
      },
    }),
};
