// Question: what is one product of matrices for every index of the leading axes?
//
//   C[b] = op(A[b]) · op(B[b]) for every b                    op and gradients: see matmul.ts

import { apply, type Operation, sameShape, type Shape, sizeOf, type Tensor } from "../graph/tensor.ts";
import {
  type MatmulAttributes,
  type MatmulExtents,
  matmulExtents,
  multiplyMatrices,
  productFlops,
  productGradients,
  ruleForB,
  transposesOf,
} from "./matmul.ts";
import { expectShapes } from "./shapes.ts";

/** The number of products in a batched product, and the sizes of one of them. */
export function batchedMatmulExtents(
  a: Shape,
  b: Shape,
  attributes: MatmulAttributes,
): MatmulExtents & { readonly batch: number } {
  return { batch: sizeOf(a.slice(0, -2)), ...matmulExtents(a.slice(-2), b.slice(-2), attributes) };
}

export const batchedMatmulOperation: Operation<["a", "b"], ["c"], MatmulAttributes> = {
  name: "batchedMatmul",
  inputs: ["a", "b"],
  outputs: ["c"],
  infer({ a, b }, attributes) {
    expectShapes(
      a.shape.length >= 3 && sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2)),
      "batchedMatmul",
      { a, b },
      "both operands must have the same leading axes before their matrices (one or more); use matmul() for a shared b.",
    );
    const { rows, inner, columns } = batchedMatmulExtents(a.shape, b.shape, attributes);
    expectShapes(
      b.shape.at(attributes.transposeB ? -1 : -2) === inner,
      "batchedMatmul",
      { a, b },
      ruleForB(inner, attributes, "..., "),
    );
    return { c: { shape: [...a.shape.slice(0, -2), rows, columns], dtype: "f32" } };
  },
  gradient: ({ a, b }, { c: g }, attributes) => productGradients(batchedMatmul, a, b, attributes, g),
  flops({ a, b }, attributes) {
    const extents = batchedMatmulExtents(a.shape, b.shape, attributes);
    return extents.batch * productFlops(extents);
  },
  reference({ a, b }, { c }, attributes) {
    const { batch } = batchedMatmulExtents(a.shape, b.shape, attributes);
    for (let i = 0; i < batch; i++) multiplyMatrices(a.matrix(i), b.matrix(i), c.matrix(i), attributes);
  },
};

/**
 * One matrix product for every index of the leading axes, which both operands share.
 *
 * @param a [..., M, K], or [..., K, M] with transposeA
 * @param b [..., K, N], or [..., N, K] with transposeB
 * @returns [..., M, N]
 * @throws ShapeError when the operands do not fit
 */
export function batchedMatmul(a: Tensor, b: Tensor, options: Partial<MatmulAttributes> = {}): Tensor {
  return apply(batchedMatmulOperation, { a, b }, transposesOf("batchedMatmul", options)).c;
}
