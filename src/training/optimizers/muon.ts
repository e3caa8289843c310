// Question: how does Muon move a matrix (Jordan et al. 2024; as Liu et al. 2025, arXiv 2502.16982, scale it)?
//
//   m' = μ m + (1 − μ) g,  u = (1 − μ) g + μ m'  (or m' without Nesterov's look ahead)
//   p' = (1 − η λ) p − η s √max(R, C) · orthogonalise(u)
//
// An orthogonal matrix [R, C] has a root mean square of 1 / √max(R, C), so each step has one of s, near that of AdamW's
// steps: both can have one rate and one λ. Which parameters are such matrices is a table (groups.ts); the others follow
// AdamW. Matrices that lie side by side in one tensor, such as those of queries, keys and values, are taken one by one.

import type { Tensor } from "../../graph/tensor.ts";
import { add, multiply, scale, subtract } from "../../ops/elementwise.ts";
import { concat } from "../../ops/concat.ts";
import { entry } from "../../ops/masks.ts";
import { slice } from "../../ops/slice.ts";
import { adamwEntry, type AdamwRule, adamwRule, adamwSchedule } from "./adamw.ts";
import { groupOf, matrixRoles, type MatrixRole } from "./groups.ts";
import { type Iterations, orthogonalise } from "./orthogonalise.ts";
import { type OptimizerEntry, type RuledParameter, ruleOf, type UpdateRule } from "./rule.ts";
import { setting, settingCount, settingFlag, settingList } from "./setting-rules.ts";

/** Muon for matrices; AdamW, with its settings, for all else. */
export interface MuonRule extends Iterations, Omit<AdamwRule, "kind"> {
  readonly kind: "muon";
  /** μ, how slowly the mean of the gradients follows. */
  readonly momentum: number;
  /** Whether a step looks ahead along the momentum. */
  readonly nesterov: boolean;
  /** s, the root mean square of a step at a rate of 1. */
  readonly stepSize: number;
  /** Roles whose matrices follow Muon; see groups.ts. */
  readonly matrices: readonly MatrixRole[];
}

export const muonEntry: OptimizerEntry<MuonRule> = {
  kind: "muon",
  title: "orthogonal steps of matrices, AdamW for the rest (arXiv 2502.16982)",
  usual: { learningRate: 5e-3, weightDecay: 0.1 },
  settings: {
    momentum: setting("momentum").default(0.95),
    nesterov: settingFlag.default(true),
    iterations: settingCount(1, 100).default(5),
    finishing: settingCount(0, 100).default(0),
    stepSize: setting("stepSize").default(0.2),
    matrices: settingList(matrixRoles).default(["weight"]),
    ...adamwEntry.settings,
  },
  schedule: (rate, step, settings) => adamwSchedule(rate, step, settings),
  rule: (parameter, settings, weightDecay) =>
    groupOf(parameter, settings.matrices) === "matrices"
      ? muonRule(parameter, settings, weightDecay)
      : adamwRule(parameter.shape, settings, weightDecay),
};

function muonRule(
  { shape, columns = [shape.at(-1)!] }: RuledParameter,
  { momentum, nesterov, stepSize, ...iterations }: MuonRule,
  weightDecay: number,
): UpdateRule {
  const axis = shape.length - 1;
  const step = (u: Tensor): Tensor => {
    const [R, C] = u.shape.slice(-2) as [number, number];
    return scale(orthogonalise(u, iterations), stepSize * Math.sqrt(Math.max(R, C)));
  };
  /** The step of each of the matrices that lie side by side. */
  const steps = (u: Tensor): Tensor => {
    if (columns.length === 1) return step(u);
    let from = 0;
    return concat(
      columns.map((width) => step(slice(u, axis, (from += width) - width, width))),
      axis,
    );
  };
  return ruleOf({
    states: { momentum: shape },
    elementwise: undefined,
    next({ param, gradient, states, schedule }) {
      const mean = add(scale(states["momentum"]!, momentum), scale(gradient, 1 - momentum));
      const u = nesterov ? add(scale(gradient, 1 - momentum), scale(mean, momentum)) : mean;
      const rate = entry(schedule, 0, shape);
      return {
        param: subtract(param, multiply(rate, add(steps(u), scale(param, weightDecay)))),
        states: { momentum: mean },
      };
    },
  });
}
