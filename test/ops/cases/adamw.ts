// One and several tasks, options, and steps that are left out.

import { adamw, type AdamwAttributes } from "../../../src/ops/adamw.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

function adamwCase(shape: Shape, options: Partial<AdamwAttributes>, norm = 3): OperationCase {
  return {
    name: `adamw [${shape}] ${JSON.stringify(options)}, norm ${norm}`,
    inputs: {
      param: { shape },
      gradient: { shape },
      m: { shape },
      v: { shape, values: (random) => random() },
      schedule: { shape: [3], values: (_random, i) => [0.01, 0.19, 0.0975][i]! },
      clip: { shape: [2], values: (_random, i) => [norm, 0.25][i]! },
    },
    constant: ["param", "gradient", "m", "v", "schedule", "clip"],
    build: ({ param, gradient, m, v, schedule, clip }) =>
      adamw({ param: param!, gradient: gradient!, m: m!, v: v!, schedule: schedule!, clip: clip! }, options),
  };
}

export const adamwCases: readonly OperationCase[] = [
  adamwCase([1], {}),
  adamwCase([5, 13], { weightDecay: 0, epsilon: 1e-20 }),
  adamwCase([67, 129], { beta1: 0.8, beta2: 0.99, learningRateScale: 3 }),
  adamwCase([67, 129], {}, Number.NaN),
  adamwCase([5, 13], {}, Number.POSITIVE_INFINITY),
];
