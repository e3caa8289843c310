// Question: which matrices keep the mean and have a spectral norm of one?
//
// Matrices of spectral norm one that keep the mean (sHC, arXiv 2603.20896):
//
//   H = (1/n) 11ᵀ + P U Σ V Pᵀ,  P ∈ R^(n×(n−1)) the Helmert basis of what is orthogonal to 1,
//   U, V rotations by Cayley's transform (the paper's V is our Vᵀ: logits of the other sign),  Σ = diag tanh(σ)
//
// Degrees of freedom (n − 1)², by as many logits (σ | U | V). Guarantees rows, columns, spectral norm 1;
// entries may be negative: a stream can be subtracted from another.
// Start: U = V = I, σ = 2 (the paper's 4 leaves a slope of 0.001): at n = 4 a diagonal of 0.973, |λ₂| = 0.964.

import { rowCount } from "../../graph/tensor.ts";
import { add } from "../../ops/elementwise.ts";
import { constant } from "../../graph/state.ts";
import { rotationSize } from "../../ops/cayley.ts";
import { multiply, tanh } from "../../ops/elementwise.ts";
import { batchedMatmul } from "../../ops/batched-matmul.ts";
import { matmul } from "../../ops/matmul.ts";
import { broadcast, broadcastLast } from "../../ops/reductions.ts";
import { reshape } from "../../ops/reshape.ts";
import { slice } from "../../ops/slice.ts";
import { anyStreams, atMostOne, matrixOf, type ResidualMap } from "./residual-map.ts";
import { takeRotation } from "./rotation.ts";

const SINGULAR_LOGIT = 2;

/** H = J/n + P U Σ V Pᵀ. */
export const spectralSphere: ResidualMap = {
  size: (n) => (n - 1) ** 2,
  project(logits, n) {
    const [tokens, m] = [rowCount(logits.shape), n - 1];
    const singular_Tm = tanh(slice(logits, 1, 0, m));
    const u_Tmm = takeRotation(logits, m, m);
    const v_Tmm = takeRotation(logits, m + rotationSize(m), m);
    const inner_Tmm = batchedMatmul(u_Tmm, multiply(broadcastLast(singular_Tm, m), v_Tmm));
    // vec(P B Pᵀ) = vec(B) (P ⊗ P)ᵀ, row by row.
    const lift = matrixOf(
      m * m,
      n * n,
      (from, to) => helmert(n, Math.floor(to / n), Math.floor(from / m)) * helmert(n, to % n, from % m),
    );
    const average = broadcast(constant(Array<number>(n * n).fill(1 / n), [n * n]), [tokens, n * n]);
    return add(average, matmul(reshape(inner_Tmm, [tokens, m * m]), constant(lift, [m * m, n * n])));
  },
  bias: (n) => [...Array<number>(n - 1).fill(SINGULAR_LOGIT), ...Array<number>(2 * rotationSize(n - 1)).fill(0)],
  guarantee: { rows: true, columns: true, nonNegative: false, spectralNorm: atMostOne },
  supports: anyStreams,
};

/** Entry (i, k) of the Helmert basis: column k compares stream k + 1 with the mean of those before it. */
function helmert(n: number, i: number, k: number): number {
  if (i > k + 1 || i >= n) return 0;
  return (i <= k ? 1 : -(k + 1)) / Math.sqrt((k + 1) * (k + 2));
}
