// One step of AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101): Adam with decoupled weight decay.
//
//   g = clip · gradient,  m' = β₁ m + (1 − β₁) g,  v' = β₂ v + (1 − β₂) g²
//   p' = p − η · ( (m'/c₁) / (√(v'/c₂) + ε) + λ p ),  c_i = 1 − β_i^t,  η = learning rate · its scale
//
// A step whose gradients have no finite norm is left out: p' = p, m' = m, v' = v.
// What changes from step to step arrives as tensors: schedule [3] = learning rate, c₁, c₂;
// clip [2] = norm, factor, as made by clipScale. Everything else is an attribute. No gradient.

import { applyAll, f32, type Operation, positional, sameShape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

/** The constants of AdamW, in the notation of Kingma and Ba 2014 (arXiv 1412.6980). */
export interface AdamwAttributes {
  /** β₁, how slowly the mean of the gradients follows. */
  readonly beta1: number;
  /** β₂, how slowly the mean of their squares follows. */
  readonly beta2: number;
  /** ε, added to the root of the second moment. */
  readonly epsilon: number;
  /** λ: a step takes away learning rate · λ of the parameter. */
  readonly weightDecay: number;
  /** Multiplies the scheduled learning rate, for groups of parameters. */
  readonly learningRateScale: number;
}

/** (param, gradient, m, v, schedule, clip) → (param', m', v'). */
export const adamwOperation: Operation<
  ["param", "gradient", "m", "v", "schedule", "clip"],
  ["newParam", "newM", "newV"],
  AdamwAttributes
> = positional<["param", "gradient", "m", "v", "schedule", "clip"], ["newParam", "newM", "newV"], AdamwAttributes>({
  name: "adamw",
  inputs: ["param", "gradient", "m", "v", "schedule", "clip"],
  outputs: ["newParam", "newM", "newV"],
  infer([param, gradient, m, v, schedule, clip]) {
    expectShapes(
      [gradient!, m!, v!].every(({ shape }) => sameShape(shape, param!.shape)),
      "adamw",
      { param: param!, gradient: gradient!, m: m!, v: v! },
      "the gradient and both moments must have the parameter's shape.",
    );
    expectShapes(
      sameShape(schedule!.shape, [3]),
      "adamw",
      { schedule: schedule! },
      "the schedule must be [3]: learning rate, 1 − beta1^t, 1 − beta2^t.",
    );
    expectShapes(
      sameShape(clip!.shape, [2]),
      "adamw",
      { clip: clip! },
      "clip must be [2]: norm and factor, from clipScale().",
    );
    return Array.from({ length: 3 }, () => f32(...param!.shape));
  },
  flops: (node) => 14 * sizeOf(node.outputs[0]!.shape),
  reference([param, gradient, m, v, schedule, clip], [newParam, newM, newV], attributes) {
    const { beta1, beta2, epsilon, weightDecay, learningRateScale } = attributes;
    const [scheduledRate, correction1, correction2] = schedule!.data as unknown as [number, number, number];
    const rate = scheduledRate * learningRateScale;
    if (!Number.isFinite(clip!.data[0]!)) {
      newParam!.data.set(param!.data);
      newM!.data.set(m!.data);
      newV!.data.set(v!.data);
      return;
    }
    for (let i = 0; i < param!.data.length; i++) {
      const g = clip!.data[1]! * gradient!.data[i]!;
      newM!.data[i] = beta1 * m!.data[i]! + (1 - beta1) * g;
      newV!.data[i] = beta2 * v!.data[i]! + (1 - beta2) * g * g;
      const step = newM!.data[i]! / correction1 / (Math.sqrt(newV!.data[i]! / correction2) + epsilon);
      newParam!.data[i] = param!.data[i]! - rate * (step + weightDecay * param!.data[i]!);
    }
  },
});

/** The state of one parameter under AdamW. */
export interface AdamwOperands {
  /** The parameter, of any shape. */
  readonly param: Tensor;
  /** Of the parameter's shape, as are the moments. */
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

/**
 * The next value of a parameter and of its moments, by one step of AdamW (Loshchilov and Hutter 2017,
 * arXiv 1711.05101). Builds the graph of the step; it happens when a program has the results as updates.
 *
 * @param operands the parameter, its gradient, its moments, and the schedule and clip that all share
 * @param options beta1 0.9, beta2 0.95, epsilon 1e-8, weightDecay 0.1 and learningRateScale 1 unless given
 * @returns param', m', v', each of the parameter's shape; unchanged where the gradients have no finite norm
 * @throws ShapeError when the shapes differ, or the schedule or clip have another size
 */
export function adamw(
  operands: AdamwOperands,
  options: Partial<AdamwAttributes> = {},
): [param: Tensor, m: Tensor, v: Tensor] {
  const { param, gradient, m, v, schedule, clip } = operands;
  const attributes: AdamwAttributes = {
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    weightDecay: 0.1,
    learningRateScale: 1,
    ...options,
  };
  const [newParam, newM, newV] = applyAll(adamwOperation, [param, gradient, m, v, schedule, clip], attributes);
  return [newParam!, newM!, newV!];
}
