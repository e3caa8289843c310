// Question: what does an optimizer add to the graph of a step?
//
// From the gradient of each trained parameter: the norm of all, the factor that clips them, and the next value of every
// parameter and of every state that the optimizer keeps.

import { given } from "../../basics/given.ts";
import type { Parameter } from "../../graph/parameters.ts";
import { persistent } from "../../graph/state.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { sumSquares } from "../../ops/sum-squares.ts";
import { clippingOf } from "./clipping.ts";
import type { KeptState, RuledParameter, UpdateRule } from "./rule.ts";
import { optimizerEntry, type OptimizerSettings } from "./table.ts";

/** One training step as part of a graph: give `updates` to `Runtime.compile`. */
export interface OptimizerStep {
  /** Pairs [state, next value]: every trained parameter and what the optimizer keeps. */
  readonly updates: readonly (readonly [state: Tensor, value: Tensor])[];
  /** [3]: the learning rate and two numbers of the optimizer's own, of AdamW 1 − β₁^t, 1 − β₂^t; written before each run. */
  readonly schedule: Tensor;
  /** [2]: the norm of all gradients before clipping, and the factor that clipped them. */
  readonly clip: Tensor;
  /** For each trained parameter the sum of the squares of its gradient, before clipping. */
  readonly squares: readonly Tensor[];
  /** What the optimizer keeps, to be saved beside the parameters: of AdamW two moments of each. */
  readonly moments: readonly KeptState[];
}

/** How a parameter follows its gradient. */
export const updateRule = (parameter: RuledParameter, settings: OptimizerSettings): UpdateRule =>
  optimizerEntry(settings.kind).rule(
    parameter,
    settings,
    settings.decayed.includes(parameter.role) ? settings.weightDecay : 0,
  );

/** What a rule may know of a parameter. */
export const ruled = ({ tensor: { shape }, role, part, columns }: Parameter): RuledParameter => ({
  shape,
  role,
  part,
  ...given({ columns }),
});

/**
 * The updates from gradients that are already a part of the graph, such as sums over microbatches.
 *
 * @param byParameter the gradient of each trained parameter, in their order
 */
export function optimizerStep(
  trained: readonly Parameter[],
  byParameter: readonly Tensor[],
  schedule: Tensor,
  settings: OptimizerSettings,
): OptimizerStep {
  const squares = byParameter.map(sumSquares);
  const { clip, states, updates: ofClip } = clippingOf(squares, settings.clip);
  const moments: KeptState[] = [];
  const updates = trained.flatMap((parameter, index): [Tensor, Tensor][] => {
    const { tensor: param, name } = parameter;
    const rule = updateRule(ruled(parameter), settings);
    const kept = Object.entries(rule.states).map(([which, shape]) => {
      const tensor = persistent(`${name}.${which}`, shape);
      moments.push({ name: `${name}.${which}`, tensor });
      return [which, tensor] as const;
    });
    const next = rule.next({ param, gradient: byParameter[index]!, states: Object.fromEntries(kept), schedule, clip });
    return [[param, next.param], ...kept.map(([which, tensor]): [Tensor, Tensor] => [tensor, next.states[which]!])];
  });
  return {
    updates: [...updates, ...ofClip],
    schedule,
    clip,
    squares,
    moments: [...moments, ...states],
  };
}
