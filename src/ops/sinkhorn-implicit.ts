// Sinkhorn-Knopp with the gradient of its limit: forward as in sinkhorn.ts, backward by the equations that
// hold where the iteration would end (the implicit function theorem; mHC-proj, arXiv 2606.07574).
//
// With R = diag(e^u) exp(L) diag(e^v) and its marginals kept, dR = R ∘ (dL + du 1ᵀ + 1 dvᵀ), so for G = dR:
//
//   [diag(R1)    R     ] [x₁]   [(R∘G) 1 ]
//   [  Rᵀ     diag(Rᵀ1)] [x₂] = [(R∘G)ᵀ 1]          dL = (G − x₁1ᵀ − 1x₂ᵀ) ∘ R
//
// Rows sum to one, so x₁ = (R∘G)1 − R x₂, and n equations for x₂ are left, a Laplacian (column-graph.ts):
//
//   Σ_k w_jk (x₂_j − x₂_k) = Σ_i Σ_k R_ij R_ik (G_ij − G_ik)
//   dL_ij = R_ij Σ_k R_ik (H_ij − H_ik),  H = G − 1x₂ᵀ        the backward of a row softmax, at H
//
// Every sum is one of differences weighted by products of entries: nothing cancels when R nears a
// permutation, where the equations themselves are nearly singular. The forward iterates are not needed, so this
// costs the same for any T. It is the gradient of what was computed only as far as T iterations converge;
// study/sinkhorn-error.ts says how far.
//
// Derivation: docs/derivations/manifolds.md. Shapes: L, R, G [..., n, n].

import { apply, lastAxis, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { columnWeights, solveColumns } from "./column-graph.ts";
import { expectShapes } from "./shapes.ts";
import { type SinkhornAttributes, sinkhornOperation } from "./sinkhorn.ts";

/**
 * The gradient of the logits of an entropic projection, given its result.
 *
 * @param r n × n, rows summing to one, columns as near to one as they are
 * @param gradient of r, n × n
 */
export function implicitGradient(r: Float64Array, gradient: Float64Array, n: number): Float64Array {
  const flows = new Float64Array(n * n);
  forPairs(
    n,
    (row, j, k) => (flows[j * n + k]! += r[row + j]! * r[row + k]! * (gradient[row + j]! - gradient[row + k]!)),
  );
  const x = solveColumns(columnWeights(r, n), flows, n);
  const h = gradient.map((value, at) => value - x[at % n]!);
  const dlogits = new Float64Array(n * n);
  forPairs(n, (row, j, k) => (dlogits[row + j]! += r[row + j]! * r[row + k]! * (h[row + j]! - h[row + k]!)));
  return dlogits;
}

/** Every row, by where it begins, with every two of its columns. */
function forPairs(n: number, visit: (row: number, j: number, k: number) => void): void {
  for (let row = 0; row < n * n; row += n) {
    for (let j = 0; j < n; j++) for (let k = 0; k < n; k++) visit(row, j, k);
  }
}

export const sinkhornImplicitOperation: Operation<SinkhornAttributes> = {
  ...sinkhornOperation,
  name: "sinkhornImplicit",
  infer(inputs, attributes) {
    const { iterations } = attributes;
    if (iterations === 0) {
      throw new RangeError(
        "sinkhornImplicit: iterations must be 1 or more, got 0: the gradient needs rows that sum to one.",
      );
    }
    return sinkhornOperation.infer(inputs, attributes);
  },
  gradient: ({ outputs: [r] }, [g]) => [apply(entropicBackwardOperation, [r!, g!], {})],
};

/** (R, g) → dL, for whatever scaled exp(L) to R. */
export const entropicBackwardOperation: Operation<Record<string, never>> = {
  name: "entropicBackward",
  infer: ([r]) => [{ shape: r!.shape, dtype: "f32" }],
  flops: ({ inputs: [r] }) => 11 * lastAxis(r!.shape) * sizeOf(r!.shape),
  reference([r, g], [out]) {
    const n = lastAxis(r!.shape);
    for (let at = 0; at < out!.data.length; at += n * n) {
      const end = at + n * n;
      out!.data.set(implicitGradient(r!.data.subarray(at, end), g!.data.subarray(at, end), n), at);
    }
  },
};

/**
 * Sinkhorn-Knopp normalisation with the implicit gradient: the values of `sinkhorn`, the gradient of
 * its limit. The backward pass costs the same for any number of iterations.
 *
 * Source: Accelerated Birkhoff projection (arXiv 2606.07574); the iteration is Eq. 9 of arXiv 2512.24880.
 *
 * @param logits [..., n, n]
 * @param iterations T, 1 or more. The gradient is exact in the limit: for logits of deviation 1 and T = 20
 *   the two differ by rounding in nearly every matrix, for a deviation of 4 by percents.
 * @returns [..., n, n], rows summing to one
 * @throws ShapeError when the last two axes differ; RangeError for a bad number of iterations
 */
export function sinkhornImplicit(logits: Tensor, { iterations = 20 }: Partial<SinkhornAttributes> = {}): Tensor {
  expectShapes(logits.shape.length >= 2, "sinkhornImplicit", { logits }, "logits must be matrices [..., n, n].");
  return apply(sinkhornImplicitOperation, [logits], { iterations });
}
