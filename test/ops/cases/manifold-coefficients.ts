// Coefficients of mHC alone and of a whole sublayer, in every form; with them streamProjection.

import type { Tensor } from "../../../src/graph/tensor.ts";
import { manifoldCoefficients } from "../../../src/ops/manifold-coefficients.ts";
import type { OperationCase } from "../case.ts";
import { forms } from "./sinkhorn-forms.ts";
import { fewSizes, normals, type Sizes, sublayer } from "./stream-sizes.ts";

function manifold([T, n, C]: Sizes, options: Parameters<typeof manifoldCoefficients>[4]): OperationCase[] {
  const M = n * n + 2 * n;
  const inputs: OperationCase["inputs"] = {
    x: { shape: [T, n, C] },
    phi: { shape: [M, n * C], values: normals(1 / Math.sqrt(n * C)) },
    alpha: { shape: [3], values: (_random, index) => [0.7, -0.4, 0.9][index]! },
    bias: { shape: [M] },
  };
  const name = `[${T}, ${n}, ${C}] ${JSON.stringify(options)}`;
  const coefficients = ({ x, phi, alpha, bias }: Record<string, Tensor>): Tensor =>
    manifoldCoefficients(x!, phi!, alpha!, bias!, options);
  return [
    { name: `manifoldCoefficients ${name}`, inputs, build: coefficients },
    sublayer(`manifold sublayer ${name}`, inputs, coefficients),
  ];
}

export const manifoldCoefficientsCases: readonly OperationCase[] = [
  ...fewSizes.flatMap((size) => manifold(size, { iterations: 20 })),
  ...manifold([5, 4, 12], { iterations: 0 }),
  ...manifold([2, 3, 5], { iterations: 3, epsilon: 0.5 }),
  ...Object.entries(forms).flatMap(([name, res]) =>
    (name === "released" ? fewSizes : fewSizes.slice(2, 4)).flatMap((size) =>
      manifold(size, { iterations: 20, form: { readEpsilon: 1e-2, writeScale: 1.5, res } }),
    ),
  ),
];
