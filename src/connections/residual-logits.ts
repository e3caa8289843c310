// Question: what were the logits of H_res, before Sinkhorn-Knopp normalised them?
//
//   l_res = α_res · p_res + b_res                                    (Eq. 7 of mHC, arXiv 2512.24880)
//
// The kernel that makes a token's coefficients never stores its logits, so they are computed here again from
// its inputs. Nothing is computed unless somebody asks for them. Shapes: p [..., M], alpha [3], bias [M] → [T, n²].

import { add } from "../ops/elementwise.ts";
import { lastAxis, rowCount, type Tensor } from "../graph/tensor.ts";
import { multiply } from "../ops/elementwise.ts";
import { streamsOf } from "../ops/manifold-coefficients.ts";
import { broadcast } from "../ops/reductions.ts";
import { reshape } from "../ops/reshape.ts";
import { slice } from "../ops/slice.ts";

/**
 * The logits [T, n²] of H_res, in their stored order: a convention that applies H_res transposed indexes them
 * [source, output].
 *
 * @param p [..., n² + 2n], the normalised tokens times φ
 */
export function residualLogits(p: Tensor, alpha: Tensor, bias: Tensor): Tensor {
  const [tokens, M] = [rowCount(p.shape), lastAxis(p.shape)];
  const n = streamsOf(M);
  const p_res = slice(reshape(p, [tokens, M]), 1, 2 * n, n * n);
  const scaled = multiply(p_res, broadcast(reshape(slice(alpha, 0, 2, 1), []), p_res.shape));
  return add(scaled, broadcast(slice(bias, 0, 2 * n, n * n), p_res.shape));
}
