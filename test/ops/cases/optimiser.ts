// The optimiser's operations, over one and several blocks and tasks.

import { adamw, type AdamwAttributes } from "../../../src/ops/adamw.ts";
import { countNotFinite } from "../../../src/ops/count-not-finite.ts";
import { clipScale } from "../../../src/ops/clip-scale.ts";
import { sumSquares } from "../../../src/ops/sum-squares.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

function sumSquaresCase(shape: Shape): OperationCase {
  return { name: `sumSquares [${shape}]`, inputs: { x: { shape } }, constant: ["x"], build: ({ x }) => sumSquares(x!) };
}

function clipCase(name: string, limit: number | undefined): OperationCase {
  return {
    name: `clipScale, ${name}`,
    inputs: { x: { shape: [5, 7] }, y: { shape: [9] }, z: { shape: [] } },
    constant: ["x", "y", "z"],
    build: ({ x, y, z }) => clipScale([x!, y!, z!].map(sumSquares), limit),
  };
}

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

function notFiniteCase(shape: Shape, every: number): OperationCase {
  const strange = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  return {
    name: `countNotFinite [${shape}], one in ${every}`,
    inputs: { x: { shape, values: (random, i) => (i % every === every - 1 ? strange[i % 3]! : random() * 3e38) } },
    constant: ["x"],
    build: ({ x }) => countNotFinite(x!),
  };
}

export const optimiserCases: OperationCase[] = [
  sumSquaresCase([]),
  sumSquaresCase([3, 7]),
  sumSquaresCase([131, 257]),
  clipCase("clipping", 0.5),
  clipCase("not reached", 1000),
  clipCase("without a limit", undefined),
  adamwCase([1], {}),
  adamwCase([5, 13], { weightDecay: 0, epsilon: 1e-20 }),
  adamwCase([67, 129], { beta1: 0.8, beta2: 0.99, learningRateScale: 3 }),
  adamwCase([67, 129], {}, Number.NaN),
  adamwCase([5, 13], {}, Number.POSITIVE_INFINITY),
  notFiniteCase([5], 2),
  notFiniteCase([300, 67], 11),
  notFiniteCase([4096], 5000),
];
