// Question: which rotations does an iterated Cayley transform give?
//
// Rotations by the Cayley transform as JPmHC computes them (arXiv 2602.18308): a fixed-point iteration, twice,
// in place of an inverse.
//
//   Q = (I − (α/2) W)⁻¹ (I + (α/2) W) solves Y = I + (α/2) W (I + Y);  W = Θᵀ − Θ, Θ the logits above the diagonal
//   Y₀ = I + α W,  Y_(k+1) = I + (α/2) W (I + Y_k),  α = 0.1
//
// With z = (α/2) W, K iterations give I + 2 (z + z² + ... + z^(K+1)) : the series of Q, right to the power K + 1.
//
// Degrees of freedom n(n − 1)/2. Guarantees nothing: near the identity HᵀH − I is of the order |αW/2|^(K+2), and
// for large logits H grows as |αW|^(K+1). `cayley` is exact, and here as fast.
// Start: l = 0, the identity exactly, |λ₂| = 1.

import { rowCount } from "../../graph/tensor.ts";
import { add } from "../../ops/elementwise.ts";
import { constant } from "../../graph/state.ts";
import { scale } from "../../ops/elementwise.ts";
import { batchedMatmul } from "../../ops/batched-matmul.ts";
import { matmul } from "../../ops/matmul.ts";
import { broadcast } from "../../ops/reductions.ts";
import { reshape } from "../../ops/reshape.ts";
import { identityMatrix } from "../initialisation.ts";
import { cayleyMap } from "./cayley.ts";
import { matrixOf, type ResidualMap, unbounded } from "./residual-map.ts";
import { placesAbove } from "./rotation.ts";

/** The fixed-point iteration towards (I − (α/2) W)⁻¹ (I + (α/2) W). */
export function cayleyIterated({
  iterations = 2,
  alpha = 0.1,
}: { iterations?: number; alpha?: number } = {}): ResidualMap {
  return {
    ...cayleyMap,
    project(logits, n) {
      const [tokens, shape] = [rowCount(logits.shape), [rowCount(logits.shape), n, n]];
      const basis = placesAbove(n).flatMap(([i, j]) =>
        matrixOf(n, n, (row, column) => (row === j && column === i ? 1 : row === i && column === j ? -1 : 0)),
      );
      const w = reshape(matmul(logits, constant(basis, [placesAbove(n).length, n * n])), shape);
      const identity = broadcast(constant(identityMatrix(n, 1), [n, n]), shape);
      let y = add(identity, scale(w, alpha));
      for (let k = 0; k < iterations; k++) y = add(identity, scale(batchedMatmul(w, add(identity, y)), alpha / 2));
      return reshape(y, [tokens, n * n]);
    },
    guarantee: { rows: false, columns: false, nonNegative: false, spectralNorm: unbounded },
  };
}
