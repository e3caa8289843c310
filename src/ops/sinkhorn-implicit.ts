// Question: what is Sinkhorn-Knopp with the gradient of its limit?
//
// Forward is as in sinkhorn.ts. Backward solves the equations that hold in the limit of the iteration (the implicit
// function theorem; mHC-proj, arXiv 2606.07574): see entropic-backward.ts. It does not need the forward iterates, so it
// costs the same for any T. It is the exact gradient of the forward pass only if T iterations converge;
// study/sinkhorn-error.ts measures how far they do.

import { expectFields } from "../basics/fields.ts";
import { apply, type Operation, type Tensor, expectTensor } from "../graph/tensor.ts";
import { entropicBackwardOperation } from "./entropic-backward.ts";
import { expectShapes } from "./shapes.ts";
import { composedSinkhorn } from "./sinkhorn-composed.ts";
import type { SinkhornAttributes } from "./sinkhorn-form.ts";
import { sinkhornOperation } from "./sinkhorn.ts";

export const sinkhornImplicitOperation: Operation<["logits"], ["r"], SinkhornAttributes> = {
  name: "sinkhornImplicit",
  inputs: ["logits"],
  outputs: ["r"],
  infer({ logits }, attributes) {
    if (attributes.iterations === 0) {
      throw new RangeError(
        "sinkhornImplicit: iterations must be 1 or more, got 0: the gradient needs rows that sum to one.",
      );
    }
    return { r: sinkhornOperation.infer({ logits }, attributes).h };
  },
  gradient: ({ r }, { r: g }) => ({ logits: apply(entropicBackwardOperation, { r, g }).dlogits }),
  flops: ({ logits, r }, attributes) => sinkhornOperation.flops({ logits, h: r }, attributes),
  reference: ({ logits }, { r }, attributes) => sinkhornOperation.reference({ logits }, { h: r }, attributes),
  compose: ({ logits }, { iterations, form }) => ({ r: composedSinkhorn(logits, iterations, form) }),
};

/**
 * Sinkhorn-Knopp normalisation with the implicit gradient: the values of `sinkhorn`, the gradient of
 * its limit. The backward pass costs the same for any number of iterations.
 *
 * Source: Accelerated Birkhoff projection (arXiv 2606.07574); the iteration is Eq. 9 of arXiv 2512.24880.
 *
 * @param logits [..., n, n]
 * @param options iterations: T, 1 or more, default 20. The gradient is exact in the limit: for logits of deviation 1 and T = 20
 *   the two differ only by rounding in nearly every matrix, for a deviation of 4 by a few percent.
 * @returns [..., n, n], rows summing to one
 * @throws ShapeError when the last two axes differ; RangeError for a bad number of iterations
 */
export function sinkhornImplicit(
  logits: Tensor,
  options: Partial<Pick<SinkhornAttributes, "iterations">> = {},
): Tensor {
  expectFields("sinkhornImplicit", options, { iterations: "number" });
  expectTensor("sinkhornImplicit", "logits", logits);
  const { iterations = 20 } = options;
  expectShapes(logits.shape.length >= 2, "sinkhornImplicit", { logits }, "logits must be matrices [..., n, n].");
  return apply(sinkhornImplicitOperation, { logits }, { iterations }).r;
}
