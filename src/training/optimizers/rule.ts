// Question: what is an optimizer to a training step?
//
// A rule for each parameter: which states it keeps, and, as a graph, the next values of the parameter and of these states
// from its gradient. The rules are compiled into the step with the gradients. What changes from step to step arrives as
// two tensors that all parameters share: schedule [3], whose first entry is the learning rate and whose others are the
// optimizer's own, and clip [2] = the norm of all gradients, the factor that clips them.

import type { z } from "zod";
import type { Role } from "../../graph/parameters.ts";
import { sizeOf, type Shape, type Tensor } from "../../graph/tensor.ts";
import { multiply } from "../../ops/elementwise.ts";
import { entry, finite } from "../../ops/masks.ts";
import { select } from "../../ops/select.ts";

/** What a step has for all parameters. */
export interface StepInputs {
  /** [3]: the learning rate, and two numbers as `OptimizerEntry.schedule` has them. */
  readonly schedule: Tensor;
  /** [2]: the norm of all gradients, and the factor that clips them. */
  readonly clip: Tensor;
}

/** What an optimizer keeps, as a checkpoint names it. */
export interface KeptState {
  readonly name: string;
  readonly tensor: Tensor;
  /** It begins with zeros where a checkpoint does not have it. */
  readonly optional?: true;
}

/** States of one parameter by name. */
export type States = Readonly<Record<string, Tensor>>;

/** A parameter as it follows its gradient. */
export interface Followed extends StepInputs {
  /** The parameter's value before the step. */
  readonly param: Tensor;
  /** Of its shape. */
  readonly gradient: Tensor;
  readonly states: States;
}

/** Values after a step. */
export interface Next {
  readonly param: Tensor;
  readonly states: States;
}

/** How one parameter follows its gradient. */
export interface UpdateRule {
  /** The states that it keeps: their names, which follow the parameter's in a checkpoint, and their shapes. */
  readonly states: Readonly<Record<string, Shape>>;
  /**
   * Parameters whose rules have the same text may be updated as one tensor, and in pieces: every number follows its own
   * gradient alone. Undefined where a number's step depends on others of its parameter.
   */
  readonly elementwise: string | undefined;
  /** The values after a step; those before it where the gradients have no finite norm. */
  next(of: Followed): Next;
}

/** What a rule may know of a parameter. */
export interface RuledParameter {
  readonly shape: Shape;
  readonly role: Role;
  readonly part: string;
  /** Widths of the matrices that lie side by side in it; absent: it is one. */
  readonly columns?: readonly number[];
}

/** One line of the table of optimizers; S are its settings as a configuration has them. */
export interface OptimizerEntry<S extends { readonly kind?: string }> {
  readonly kind: Exclude<S["kind"], undefined>;
  /** What it is, in a few words, and its source. */
  readonly title: string;
  /** The learning rate and the weight decay where none is given. */
  readonly usual: { readonly learningRate: number; readonly weightDecay: number };
  readonly settings: { readonly [F in Exclude<keyof S, "kind">]-?: z.ZodType<S[F]> };
  /** What `schedule` holds at a step, which counts from 1. */
  schedule(rate: number, step: number, settings: S): readonly [rate: number, second: number, third: number];
  /** @param weightDecay of this parameter: 0 where its role does not decay */
  rule(parameter: RuledParameter, settings: S, weightDecay: number): UpdateRule;
}

/** A rule whose `next` is given a gradient that is clipped already, and need not look whether it is finite. */
export function ruleOf({
  next,
  ...rule
}: Omit<UpdateRule, "next"> & { next(of: Omit<Followed, "clip">): Next }): UpdateRule {
  return {
    ...rule,
    next({ param, gradient, states, schedule, clip }) {
      const clipped = multiply(entry(clip, 1, gradient.shape), gradient);
      const after = next({ param, gradient: clipped, states, schedule });
      const chosen = (now: Tensor, before: Tensor): Tensor => select(finite(entry(clip, 0, before.shape)), now, before);
      return {
        param: chosen(after.param, param),
        states: Object.fromEntries(
          Object.entries(states).map(([name, before]) => [name, chosen(after.states[name]!, before)]),
        ),
      };
    },
  };
}

/** Whether a parameter holds matrices, not only vectors laid out as such. */
export const hasMatrices = ({ shape }: Pick<RuledParameter, "shape">): boolean =>
  shape.length >= 2 && shape.at(-1)! > 1 && shape.at(-2)! > 1 && sizeOf(shape) > 0;
