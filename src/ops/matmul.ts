// Matrix products.
//
//   matmul         C = op(A) · op(B)                         op(X) is X or, with its flag, Xᵀ
//   batchedMatmul  C[b] = op(A[b]) · op(B[b]) for every b
//
// Gradients are products again: with G the gradient of C,
//   d op(A) = G · op(B)ᵀ,  d op(B) = op(A)ᵀ · G.

import { applyOne, lastAxis, type Operation, positional, rowCount, sameShape, type Shape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

/** Which operands of a product are transposed; neither unless said. */
export interface MatmulAttributes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Sizes of C = op(A) · op(B): C is [rows, columns], the sum runs over `inner`. */
export interface MatmulExtents {
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
}

/** The two operands seen as matrices: all axes but the last are rows. */
export function matmulExtents(a: Shape, b: Shape, { transposeA, transposeB }: MatmulAttributes): MatmulExtents {
  return {
    rows: transposeA ? lastAxis(a) : rowCount(a),
    inner: transposeA ? rowCount(a) : lastAxis(a),
    columns: transposeB ? rowCount(b) : lastAxis(b),
  };
}

/** How many products a batched product is, and the sizes of one. */
export function batchedMatmulExtents(
  a: Shape,
  b: Shape,
  attributes: MatmulAttributes,
): MatmulExtents & { readonly batch: number } {
  return { batch: sizeOf(a.slice(0, -2)), ...matmulExtents(a.slice(-2), b.slice(-2), attributes) };
}

export const matmulOperation: Operation<["a", "b"], ["c"], MatmulAttributes> = positional<["a", "b"], ["c"], MatmulAttributes>({
  name: "matmul",
  inputs: ["a", "b"],
  outputs: ["c"],
  infer([a, b], attributes) {
    const { transposeA, transposeB } = attributes;
    const operands = { a: a!, b: b! };
    expectShapes(
      a!.shape.length >= 2 && b!.shape.length >= 2,
      "matmul",
      operands,
      "the operands must be matrices (two axes or more); reshape a vector to [1, K] or [K, 1].",
    );
    if (transposeA && !transposeB) {
      expectShapes(
        sameShape(a!.shape.slice(0, -1), b!.shape.slice(0, -1)),
        "matmul",
        operands,
        "with transposeA the sum runs over all axes but the last, so these must agree.",
      );
    } else {
      expectShapes(
        b!.shape.length === 2,
        "matmul",
        operands,
        "b must have two axes; batchedMatmul() multiplies matrix by matrix over leading axes.",
      );
      expectShapes(
        !transposeA || a!.shape.length === 2,
        "matmul",
        operands,
        "with both transposed, a must have two axes.",
      );
      const inner = transposeA ? a!.shape[0]! : lastAxis(a!.shape);
      expectShapes(b!.shape[transposeB ? 1 : 0] === inner, "matmul", operands, ruleForB(inner, attributes, ""));
    }
    const { rows, columns } = matmulExtents(a!.shape, b!.shape, attributes);
    return [{ shape: transposeA ? [rows, columns] : [...a!.shape.slice(0, -1), columns], dtype: "f32" }];
  },
  gradient: ({ inputs, attributes }, [g]) => productGradients(matmul, inputs, attributes, g!),
  flops({ inputs: [a, b], attributes }) {
    return productFlops(matmulExtents(a!.shape, b!.shape, attributes));
  },
  reference([a, b], [c], attributes) {
    multiply(a!.data, b!.data, c!.data, matmulExtents(a!.shape, b!.shape, attributes), attributes);
  },
});

export const batchedMatmulOperation: Operation<["a", "b"], ["c"], MatmulAttributes> = positional<["a", "b"], ["c"], MatmulAttributes>({
  name: "batchedMatmul",
  inputs: ["a", "b"],
  outputs: ["c"],
  infer([a, b], attributes) {
    const operands = { a: a!, b: b! };
    expectShapes(
      a!.shape.length >= 3 && sameShape(a!.shape.slice(0, -2), b!.shape.slice(0, -2)),
      "batchedMatmul",
      operands,
      "both operands must have the same leading axes before their matrices (one or more); use matmul() for a shared b.",
    );
    const inner = a!.shape.at(attributes.transposeA ? -2 : -1)!;
    expectShapes(
      b!.shape.at(attributes.transposeB ? -1 : -2) === inner,
      "batchedMatmul",
      operands,
      ruleForB(inner, attributes, "..., "),
    );
    const { rows, columns } = batchedMatmulExtents(a!.shape, b!.shape, attributes);
    return [{ shape: [...a!.shape.slice(0, -2), rows, columns], dtype: "f32" }];
  },
  gradient: ({ inputs, attributes }, [g]) => productGradients(batchedMatmul, inputs, attributes, g!),
  flops({ inputs: [a, b], attributes }) {
    const extents = batchedMatmulExtents(a!.shape, b!.shape, attributes);
    return extents.batch * productFlops(extents);
  },
  reference([a, b], [c], attributes) {
    const extents = batchedMatmulExtents(a!.shape, b!.shape, attributes);
    const { batch, rows, inner, columns } = extents;
    for (let i = 0; i < batch; i++) {
      const matrix = (data: Float64Array, size: number): Float64Array => data.subarray(i * size, (i + 1) * size);
      multiply(
        matrix(a!.data, rows * inner),
        matrix(b!.data, inner * columns),
        matrix(c!.data, rows * columns),
        extents,
        attributes,
      );
    }
  },
});

function multiply(
  a: Float64Array,
  b: Float64Array,
  c: Float64Array,
  { rows, inner, columns }: MatmulExtents,
  { transposeA, transposeB }: MatmulAttributes,
): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) {
        sum += a[transposeA ? k * rows + i : i * inner + k]! * b[transposeB ? j * inner + k : k * columns + j]!;
      }
      c[i * columns + j] = sum;
    }
  }
}

function productGradients(
  product: typeof matmul,
  [a, b]: readonly Tensor[],
  { transposeA, transposeB }: MatmulAttributes,
  g: Tensor,
): Tensor[] {
  return [
    transposeA
      ? product(b!, g, { transposeA: transposeB, transposeB: true })
      : product(g, b!, { transposeB: !transposeB }),
    transposeB
      ? product(g, a!, { transposeA: true, transposeB: transposeA })
      : product(a!, g, { transposeA: !transposeA }),
  ];
}

function productFlops({ rows, inner, columns }: MatmulExtents): number {
  return 2 * rows * inner * columns;
}

function ruleForB(inner: number, { transposeA, transposeB }: MatmulAttributes, leading: string): string {
  const shape = transposeB ? `[${leading}N, ${inner}]` : `[${leading}${inner}, N]`;
  return `the sum runs over ${inner} elements of a, so b must be ${shape} (transposeA ${transposeA}, transposeB ${transposeB}).`;
}

/**
 * Matrix product.
 *
 * - neither flag: a [..., K] · b [K, N] → [..., N]
 * - transposeB: a [..., K] · b [N, K] → [..., N]
 * - transposeA: a [..., M], b [..., N] with the same leading axes → [M, N], the sum over all rows
 * - both: a [K, M], b [N, K] → [M, N]
 *
 * @throws ShapeError when the operands do not fit
 */
export function matmul(a: Tensor, b: Tensor, options: Partial<MatmulAttributes> = {}): Tensor {
  return applyOne(matmulOperation, [a, b], { transposeA: false, transposeB: false, ...options });
}

/**
 * One matrix product for every index of the leading axes, which both operands share.
 *
 * @param a [..., M, K], or [..., K, M] with transposeA
 * @param b [..., K, N], or [..., N, K] with transposeB
 * @returns [..., M, N]
 * @throws ShapeError when the operands do not fit
 */
export function batchedMatmul(a: Tensor, b: Tensor, options: Partial<MatmulAttributes> = {}): Tensor {
  return applyOne(batchedMatmulOperation, [a, b], { transposeA: false, transposeB: false, ...options });
}
