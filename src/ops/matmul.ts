// Question: what is the product of two matrices?
//
//   C = op(A) · op(B)                         op(X) is X or, with its flag, Xᵀ
//
// Gradients are products again: with G the gradient of C,
//   d op(A) = G · op(B)ᵀ,  d op(B) = op(A)ᵀ · G.
//
// All axes of an operand but the last are rows, so B may be shared by any number of leading axes of A.

import { expectFields, type FieldRules } from "../basics/fields.ts";
import {
  apply,
  lastAxis,
  type Operation,
  rowCount,
  sameShape,
  type Shape,
  type Tensor,
  Values,
} from "../graph/tensor.ts";
import { dot } from "./dot.ts";
import { expectShapes } from "./shapes.ts";

/** Which operands of a product are transposed (default: neither). */
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

export const matmulOperation: Operation<["a", "b"], ["c"], MatmulAttributes> = {
  name: "matmul",
  inputs: ["a", "b"],
  outputs: ["c"],
  infer({ a, b }, attributes) {
    const { transposeA, transposeB } = attributes;
    expectShapes(
      a.shape.length >= 2 && b.shape.length >= 2,
      "matmul",
      { a, b },
      "the operands must be matrices (two axes or more); reshape a vector to [1, K] or [K, 1].",
    );
    const { rows, inner, columns } = matmulExtents(a.shape, b.shape, attributes);
    if (transposeA && !transposeB) {
      expectShapes(
        sameShape(a.shape.slice(0, -1), b.shape.slice(0, -1)),
        "matmul",
        { a, b },
        "with transposeA the sum runs over all axes but the last, so these must agree.",
      );
    } else {
      expectShapes(
        b.shape.length === 2,
        "matmul",
        { a, b },
        "b must have two axes; batchedMatmul() multiplies matrix by matrix over leading axes.",
      );
      expectShapes(
        !transposeA || a.shape.length === 2,
        "matmul",
        { a, b },
        "with both transposed, a must have two axes.",
      );
      expectShapes(b.shape[transposeB ? 1 : 0] === inner, "matmul", { a, b }, ruleForB(inner, attributes, ""));
    }
    return { c: { shape: transposeA ? [rows, columns] : [...a.shape.slice(0, -1), columns], dtype: "f32" } };
  },
  gradient: ({ a, b }, { c: g }, attributes) => productGradients(matmul, a, b, attributes, g),
  flops: ({ a, b }, attributes) => productFlops(matmulExtents(a.shape, b.shape, attributes)),
  reference({ a, b }, { c }, attributes) {
    const { rows, columns } = matmulExtents(a.shape, b.shape, attributes);
    const asMatrix = ({ shape, data }: Values): Values => new Values([rowCount(shape), lastAxis(shape)], data);
    multiplyMatrices(asMatrix(a), asMatrix(b), new Values([rows, columns], c.data), attributes);
  },
};

const optionRules: FieldRules<MatmulAttributes> = { transposeA: "flag", transposeB: "flag" };

/** The options of a product, checked; a factor is not transposed unless they say so. */
export function transposesOf(operation: string, options: Partial<MatmulAttributes>): MatmulAttributes {
  expectFields(operation, options, optionRules);
  const { transposeA = false, transposeB = false } = options;
  return { transposeA, transposeB };
}

/** For references: C = op(A) · op(B) for three matrices. */
export function multiplyMatrices(a: Values, b: Values, c: Values, { transposeA, transposeB }: MatmulAttributes): void {
  const { rows, inner, columns } = matmulExtents(a.shape, b.shape, { transposeA, transposeB });
  const [stepA, stepB] = [transposeA ? rows : 1, transposeB ? 1 : columns];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++)
      c.set(i, j, dot(a, transposeA ? i : i * inner, b, transposeB ? j * inner : j, inner, stepA, stepB));
  }
}

/** The gradients of a product are products of the same kind. */
export function productGradients(
  product: typeof matmul,
  a: Tensor,
  b: Tensor,
  { transposeA, transposeB }: MatmulAttributes,
  g: Tensor,
): { a: Tensor; b: Tensor } {
  return {
    a: transposeA
      ? product(b, g, { transposeA: transposeB, transposeB: true })
      : product(g, b, { transposeB: !transposeB }),
    b: transposeB
      ? product(g, a, { transposeA: true, transposeB: transposeA })
      : product(a, g, { transposeA: !transposeA }),
  };
}

export function productFlops({ rows, inner, columns }: MatmulExtents): number {
  return 2 * rows * inner * columns;
}

/** The rule for b's shape; `leading` are its axes before the matrix. */
export function ruleForB(inner: number, { transposeA, transposeB }: MatmulAttributes, leading: string): string {
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
  return apply(matmulOperation, { a, b }, transposesOf("matmul", options)).c;
}
