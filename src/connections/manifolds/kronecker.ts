// Question: which doubly stochastic matrices are products of small ones?
//
// Doubly stochastic matrices as Kronecker products of 2 × 2 ones (KromHC, arXiv 2601.21579):
//
//   H = U¹ ⊗ … ⊗ U^K,  U^k = a_k0 I + a_k1 S,  a_k = softmax(l_k),  S the swap,  n = 2^K
//
// A product of I and S factors is the permutation i → i xor b, b the bits of the S factors. So with
// w = a_1 ⊗ … ⊗ a_K, H_ij = w[i xor j]: K outer products of vectors and one fixed matrix.
//
// Degrees of freedom log₂ n, by 2 log₂ n logits. Guarantees rows, columns, sign, spectral norm 1; H is
// symmetric, its eigenvalues are real. n must be a power of two.
// Start: the identity has weight 0.95; at n = 4 |λ₂| = 0.949.

import { rowCount } from "../../graph/tensor.ts";
import { constant } from "../../graph/state.ts";
import { batchedMatmul } from "../../ops/batched-matmul.ts";
import { matmul } from "../../ops/matmul.ts";
import { reshape } from "../../ops/reshape.ts";
import { slice } from "../../ops/slice.ts";
import { softmax } from "../../ops/softmax.ts";
import { atMostOne, IDENTITY_WEIGHT, matrixOf, mostlyFirst, type ResidualMap } from "./residual-map.ts";

/** H = ⊗_k (a_k0 I + a_k1 S). */
export const kronecker: ResidualMap = {
  size: (n) => 2 * Math.log2(n),
  project(logits, n) {
    const [tokens, factors] = [rowCount(logits.shape), Math.log2(n)];
    const a = softmax(reshape(logits, [tokens, factors, 2]));
    let w = reshape(slice(a, 1, 0, 1), [tokens, 2]);
    for (let k = 1; k < factors; k++) {
      w = reshape(batchedMatmul(reshape(w, [tokens, 2 ** k, 1]), slice(a, 1, k, 1)), [tokens, 2 ** (k + 1)]);
    }
    return matmul(
      w,
      constant(
        matrixOf(n, n * n, (b, at) => ((Math.floor(at / n) ^ (at % n)) === b ? 1 : 0)),
        [n, n * n],
      ),
    );
  },
  bias(n) {
    const factors = Math.log2(n);
    return Array.from({ length: factors }, () => mostlyFirst(2, IDENTITY_WEIGHT ** (1 / factors))).flat();
  },
  guarantee: { rows: true, columns: true, nonNegative: true, spectralNorm: atMostOne },
  supports: (n) =>
    Number.isInteger(Math.log2(n)) ||
    "a Kronecker product of 2 × 2 matrices needs a power of two of streams (1, 2, 4, 8, ...).",
};
