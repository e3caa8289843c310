// Question: which doubly stochastic matrices are mixtures of permutations?
//
// Doubly stochastic matrices as mixtures of permutations (Birkhoff's theorem; mHC-lite, arXiv 2601.05732):
//
//   H = Σ_k a_k P_k,  a = softmax(l) ∈ R^(n!),  P_k the permutation matrices, the identity first
//
// Degrees of freedom (n − 1)², by n! logits (24 at n = 4, so n stops at 5). Guarantees rows, columns,
// sign, spectral norm 1, without iteration. The order of the permutations is lexicographic.
// Start: the identity has weight 0.95; at n = 4 a diagonal of 0.961, |λ₂| = 0.948.

import { constant } from "../../graph/state.ts";
import { matmul } from "../../ops/matmul.ts";
import { softmax } from "../../ops/softmax.ts";
import { atMostOne, IDENTITY_WEIGHT, mostlyFirst, type ResidualMap } from "./residual-map.ts";

/** H = Σ_k softmax(l)_k P_k. */
export const permutations: ResidualMap = {
  size: (n) => allPermutations(n).length,
  project(logits, n) {
    const all = allPermutations(n);
    return matmul(softmax(logits), constant(all.flatMap(permutationMatrix), [all.length, n * n]));
  },
  bias: (n) => mostlyFirst(allPermutations(n).length, IDENTITY_WEIGHT),
  guarantee: { rows: true, columns: true, nonNegative: true, spectralNorm: atMostOne },
  supports: (n) =>
    n <= 5 ||
    "a mixture of all n! permutations is practical for up to 5 streams; kronecker and circulant are exact too, for more.",
};

/** The matrix that takes row i from row order[i], row-major. */
export const permutationMatrix = (order: readonly number[]): number[] =>
  order.flatMap((source) => order.map((_, j) => (j === source ? 1 : 0)));

/** All orders of 0 .. n − 1, lexicographic. */
export function allPermutations(n: number): number[][] {
  const extend = (order: readonly number[]): number[][] =>
    order.length === n
      ? [[...order]]
      : Array.from({ length: n }, (_, i) => i)
          .filter((i) => !order.includes(i))
          .flatMap((i) => extend([...order, i]));
  return extend([]);
}
