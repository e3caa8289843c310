// Question: what were the logits of H_res, before Sinkhorn-Knopp normalised them?
//
// The kernel that makes a token's coefficients never writes them. They are written down again from what it
// was given: l_res = α_res · p_res + b_res (Eq. 7 of mHC, arXiv 2512.24880). Nothing is computed unless
// somebody looks. Shapes: p [..., M], alpha [3], bias [M] → [T, n²].

import { add } from "../ops/elementwise.ts";
import { rowCount, type Tensor } from "../graph/tensor.ts";
import { multiply } from "../ops/elementwise.ts";
import { manifoldCoefficientsOperation, streamsOf } from "../ops/manifold-coefficients.ts";
import { broadcast } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { slice } from "../ops/slice.ts";

/**
 * The logits [T, n²] behind coefficients of mHC, in the order in which they are stored: a convention that
 * applies H_res transposed indexes them [source, output].
 *
 * @param coefficients as the operation manifoldCoefficients returns them
 */
export function residualLogits({ node, shape }: Tensor): Tensor {
  if (node.op !== manifoldCoefficientsOperation)
    throw new TypeError(
      `residualLogits: these coefficients were made by ${node.op.name}, not by manifoldCoefficients.`,
    );
  const [p, alpha, bias] = node.inputs as readonly [Tensor, Tensor, Tensor];
  const [tokens, M] = [rowCount(shape), shape.at(-1)!];
  const n = streamsOf(M);
  const size = n * n;
  const own = slice(reshape(p, [tokens, M]), 1, 2 * n, size);
  const scaled = multiply(own, broadcast(reshape(slice(alpha, 0, 2, 1), []), own.shape));
  return add(scaled, broadcast(slice(bias, 0, 2 * n, size), own.shape));
}
