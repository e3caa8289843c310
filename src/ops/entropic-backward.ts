// Question: what is the gradient of the logits of an entropic projection, given its result alone?
//
// With R = diag(e^u) exp(L) diag(e^v) and its marginals kept, dR = R ∘ (dL + du 1ᵀ + 1 dvᵀ), so for G = dR:
//
//   [diag(R1)    R     ] [x₁]   [(R∘G) 1 ]
//   [  Rᵀ     diag(Rᵀ1)] [x₂] = [(R∘G)ᵀ 1]          dL = (G − x₁1ᵀ − 1x₂ᵀ) ∘ R
//
// The rows sum to one, so x₁ = (R∘G)1 − R x₂. For x₂, n equations remain, a Laplacian (column-graph.ts):
//
//   Σ_k w_jk (x₂_j − x₂_k) = Σ_i Σ_k R_ij R_ik (G_ij − G_ik)
//   dL_ij = R_ij Σ_k R_ik (H_ij − H_ik),  H = G − 1x₂ᵀ        the backward of a row softmax, at H
//
// Every sum is over differences weighted by products of entries, so nothing cancels when R is close to a permutation,
// although the equations themselves are then nearly singular.
//
// Derivation: docs/derivations/manifolds.md. Shapes: L, R, G [..., n, n].

import { lastAxis, type Operation, sizeOf, type Tensor, Values } from "../graph/tensor.ts";
import { columnWeights, composedColumns, solveColumns } from "./column-graph.ts";
import { multiply, subtract } from "./elementwise.ts";
import { permute, transpose } from "./permute.ts";
import { broadcastLast, sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";

/**
 * The gradient of the logits of an entropic projection, given its result.
 *
 * @param r n × n; its rows sum to one, its columns only approximately
 * @param gradient of r, n × n
 */
export function implicitGradient(r: Float64Array, gradient: Float64Array, n: number): Float64Array {
  const dlogits = new Values([n, n]);
  gradientOf(new Values([n, n], r), new Values([n, n], gradient), dlogits);
  return dlogits.data;
}

/** The same for matrices, into dL. */
function gradientOf(R: Values, G: Values, dL: Values): void {
  const n = lastAxis(R.shape);
  const flows = new Values([n, n]);
  forPairs(n, (i, j, k) => flows.add(j, k, R.at(i, j) * R.at(i, k) * (G.at(i, j) - G.at(i, k))));
  const x = solveColumns(columnWeights(R), flows);
  const H = new Values([n, n]);
  H.each((at) => G.at(at) - x.at(at % n));
  forPairs(n, (i, j, k) => dL.add(i, j, R.at(i, j) * R.at(i, k) * (H.at(i, j) - H.at(i, k))));
}

/** Visit every row with every pair of its columns. */
function forPairs(n: number, visit: (row: number, j: number, k: number) => void): void {
  for (let row = 0; row < n; row++) {
    for (let j = 0; j < n; j++) for (let k = 0; k < n; k++) visit(row, j, k);
  }
}

/** Rows [..., n] repeated along an axis before the last: [..., n, n], entry [j, k] is x_k. */
function repeatRows(x: Tensor, n: number): Tensor {
  return transpose(broadcastLast(x, n));
}

/** x_ij − x_ik of rows: [..., i, j] → [..., i, j, k]. */
function differences(x: Tensor, n: number): Tensor {
  return subtract(broadcastLast(x, n), repeatRows(x, n));
}

/** [..., i, j, k] → the sum over i, [..., j, k]. */
function sumOverRows(x: Tensor): Tensor {
  const axes = x.shape.map((_, axis) => axis);
  return sumLast(permute(x, [...axes.slice(0, -3), ...axes.slice(-2), axes.length - 3]));
}

/** The gradient for any operation that scales exp(L) to R. */
export const entropicBackwardOperation: Operation<["r", "g"], ["dlogits"]> = {
  name: "entropicBackward",
  inputs: ["r", "g"],
  outputs: ["dlogits"],
  infer: ({ r }) => ({ dlogits: { shape: r.shape, dtype: "f32" } }),
  flops: ({ r }) => 11 * lastAxis(r.shape) * sizeOf(r.shape),
  reference({ r, g }, { dlogits }) {
    for (let at = 0; at < r.size / lastAxis(r.shape) ** 2; at++)
      gradientOf(r.matrix(at), g.matrix(at), dlogits.matrix(at));
  },
  compose({ r: matrices, g: gradient }) {
    // f_jk = Σ_i R_ij R_ik (G_ij − G_ik) and dL_ij = R_ij Σ_k R_ik (H_ij − H_ik), differences first.
    const n = lastAxis(matrices.shape);
    const [r, g] = [matrices, gradient].map((x) => reshape(x, [sizeOf(x.shape) / n ** 2, n, n])) as [Tensor, Tensor];
    const pairs = multiply(broadcastLast(r, n), repeatRows(r, n));
    const flows = sumOverRows(multiply(pairs, differences(g, n)));
    const x = composedColumns(sumOverRows(pairs), flows);
    const H = subtract(g, repeatRows(x, n));
    return { dlogits: reshape(sumLast(multiply(pairs, differences(H, n))), matrices.shape) };
  },
};
