// Question: what is one step of AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101), Adam with decoupled weight decay?
//
//   g = clip · gradient,  m' = β₁ m + (1 − β₁) g,  v' = β₂ v + (1 − β₂) g²
//   p' = p − η · ( (m'/c₁) / (√(v'/c₂) + ε) + λ p ),  c_i = 1 − β_i^t,  η = learning rate · its scale
//
// A step whose gradients have no finite norm is skipped: p' = p, m' = m, v' = v.
// Values that change from step to step arrive as tensors: schedule [3] = learning rate, c₁, c₂;
// clip [2] = norm, factor, from clipScale. Everything else is an attribute. There is no gradient.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import { apply, f32, type Operation, sameShape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { add, divide, multiply, scale, shift, sqrt, square, subtract } from "./elementwise.ts";
import { expectAdamw } from "./adamw-rules.ts";
import { entry, finite } from "./masks.ts";
import { select } from "./select.ts";
import { expectShapes } from "./shapes.ts";

/** The constants of AdamW, in the notation of Kingma and Ba 2014 (arXiv 1412.6980). */
export interface AdamwAttributes {
  /** β₁: the decay rate of the mean of the gradients. */
  readonly beta1: number;
  /** β₂: the decay rate of the mean of their squares. */
  readonly beta2: number;
  /** ε: added to the root of the second moment. */
  readonly epsilon: number;
  /** λ: a step subtracts learning rate · λ times the parameter. */
  readonly weightDecay: number;
  /** A factor on the scheduled learning rate, for groups of parameters. */
  readonly learningRateScale: number;
}

export const adamwOperation: Operation<
  ["param", "gradient", "m", "v", "schedule", "clip"],
  ["newParam", "newM", "newV"],
  AdamwAttributes
> = {
  name: "adamw",
  inputs: ["param", "gradient", "m", "v", "schedule", "clip"],
  outputs: ["newParam", "newM", "newV"],
  infer({ param, gradient, m, v, schedule, clip }, attributes) {
    const { beta1, beta2, epsilon, weightDecay, learningRateScale } = attributes;
    expectAdamw("adamw", { beta1, beta2, epsilon, weightDecay, learningRateScale });
    expectShapes(
      [gradient, m, v].every(({ shape }) => sameShape(shape, param.shape)),
      "adamw",
      { param, gradient, m, v },
      "the gradient and both moments must have the parameter's shape.",
    );
    expectShapes(
      sameShape(schedule.shape, [3]),
      "adamw",
      { schedule },
      "the schedule must be [3]: learning rate, 1 − beta1^t, 1 − beta2^t.",
    );
    expectShapes(sameShape(clip.shape, [2]), "adamw", { clip }, "clip must be [2]: norm and factor, from clipScale().");
    return { newParam: f32(...param.shape), newM: f32(...param.shape), newV: f32(...param.shape) };
  },
  flops: ({ newParam }) => 14 * sizeOf(newParam.shape),
  reference({ param, gradient, m, v, schedule, clip }, { newParam, newM, newV }, attributes) {
    const { beta1, beta2, epsilon, weightDecay, learningRateScale } = attributes;
    const [rate, c1, c2] = [schedule.at(0) * learningRateScale, schedule.at(1), schedule.at(2)];
    const [norm, factor] = [clip.at(0), clip.at(1)];
    if (!Number.isFinite(norm)) {
      newParam.data.set(param.data);
      newM.data.set(m.data);
      newV.data.set(v.data);
      return;
    }
    newM.each((i) => beta1 * m.at(i) + (1 - beta1) * factor * gradient.at(i));
    newV.each((i) => beta2 * v.at(i) + (1 - beta2) * (factor * gradient.at(i)) ** 2);
    newParam.each((i) => {
      const step = newM.at(i) / c1 / (Math.sqrt(newV.at(i) / c2) + epsilon);
      return param.at(i) - rate * (step + weightDecay * param.at(i));
    });
  },
  compose({ param, gradient, m, v, schedule, clip }, attributes) {
    const { beta1, beta2, epsilon, weightDecay, learningRateScale } = attributes;
    const everywhere = (vector: Tensor, index: number): Tensor => entry(vector, index, param.shape);
    const g = multiply(everywhere(clip, 1), gradient);
    const newM = add(scale(m, beta1), scale(g, 1 - beta1));
    const newV = add(scale(v, beta2), scale(square(g), 1 - beta2));
    const root = sqrt(divide(newV, everywhere(schedule, 2)));
    const step = divide(divide(newM, everywhere(schedule, 1)), shift(root, epsilon));
    const rate = scale(everywhere(schedule, 0), learningRateScale);
    const newParam = subtract(param, multiply(rate, add(step, scale(param, weightDecay))));
    const taken = finite(everywhere(clip, 0));
    return {
      newParam: select(taken, newParam, param),
      newM: select(taken, newM, m),
      newV: select(taken, newV, v),
    };
  },
};

/** The state of one parameter under AdamW. */
export interface AdamwOperands {
  /** The parameter, of any shape. */
  readonly param: Tensor;
  /** Its shape is the parameter's, like the shapes of the moments. */
  readonly gradient: Tensor;
  /** First moment: a running mean of the gradients. */
  readonly m: Tensor;
  /** Second moment: a running mean of their squares. */
  readonly v: Tensor;
  /** [3]: learning rate, 1 − beta1^t, 1 − beta2^t; t counts from 1. */
  readonly schedule: Tensor;
  /** [2]: norm and factor, from clipScale. */
  readonly clip: Tensor;
}

const operandRules: FieldRules<AdamwOperands> = {
  param: "group",
  gradient: "group",
  m: "group",
  v: "group",
  schedule: "group",
  clip: "group",
};

const optionRules: FieldRules<AdamwAttributes> = {
  beta1: "number",
  beta2: "number",
  epsilon: "number",
  weightDecay: "number",
  learningRateScale: "number",
};

/**
 * The next value of a parameter and of its moments, by one step of AdamW (Loshchilov and Hutter 2017,
 * arXiv 1711.05101). This only builds the graph of the step. A program performs the step if it has the results as
 * updates.
 *
 * @param operands the parameter, its gradient, its moments, and the schedule and clip that all share
 * @param options defaults: beta1 0.9, beta2 0.95, epsilon 1e-8, weightDecay 0.1, learningRateScale 1
 * @returns param', m', v', each of the parameter's shape; unchanged where the gradients have no finite norm
 * @throws ShapeError when the shapes differ, or the schedule or clip have another size; RangeError for options with
 *   which AdamW cannot work in float32
 */
export function adamw(
  operands: AdamwOperands,
  options: Partial<AdamwAttributes> = {},
): [param: Tensor, m: Tensor, v: Tensor] {
  expectFields("adamw", operands, operandRules, "operand");
  expectFields("adamw", options, optionRules);
  const { param, gradient, m, v, schedule, clip } = operands;
  const attributes: AdamwAttributes = {
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    weightDecay: 0.1,
    learningRateScale: 1,
    ...given(options),
  };
  const { newParam, newM, newV } = apply(adamwOperation, { param, gradient, m, v, schedule, clip }, attributes);
  return [newParam, newM, newV];
}
