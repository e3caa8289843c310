// Coefficients of HC alone and of a whole sublayer; with them streamProjection.

import type { Tensor } from "../../../src/graph/tensor.ts";
import { hyperCoefficients } from "../../../src/ops/hyper-coefficients.ts";
import type { OperationCase } from "../case.ts";
import { fewSizes, normals, type Sizes, sublayer } from "./stream-sizes.ts";

function hyper([T, n, C]: Sizes, options: Parameters<typeof hyperCoefficients>[4]): OperationCase[] {
  const M = n * n + 2 * n;
  const inputs: OperationCase["inputs"] = {
    x: { shape: [T, n, C] },
    theta: { shape: [n + 2, C], values: normals(1 / Math.sqrt(C)) },
    alpha: { shape: [3], values: (_random, index) => [0.7, -0.4, 0.9][index]! },
    bias: { shape: [M] },
  };
  const name = `[${T}, ${n}, ${C}] ${JSON.stringify(options)}`;
  const coefficients = ({ x, theta, alpha, bias }: Record<string, Tensor>): Tensor =>
    hyperCoefficients(x!, theta!, alpha!, bias!, options);
  return [
    { name: `hyperCoefficients ${name}`, inputs, build: coefficients },
    sublayer(`hyper sublayer ${name}`, inputs, coefficients),
  ];
}

export const hyperCoefficientsCases: readonly OperationCase[] = [
  ...fewSizes.flatMap((size) => hyper(size, {})),
  ...hyper([5, 4, 12], { tanh: false, epsilon: 0.5 }),
];
