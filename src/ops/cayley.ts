// Rotations by the Cayley transform of skew-symmetric matrices:
//
//   Q = (I − A)(I + A)⁻¹ = 2X − I,   X = (I + A)⁻¹,   A = Θ − Θᵀ, Θ the logits above the diagonal
//
// Every logit is allowed: xᵀ(I + A)x = |x|², so I + A is never singular and Gauss-Jordan never meets a zero
// pivot (Schur complements have the same property). Without pivoting the inverse loses digits when A is
// large; a step of Newton's iteration X ← 2X − X(I + A)X gives them back.
//
// Backward: dX = −X dA X, so with G = dQ
//   dA = −2 XᵀGXᵀ = −½ (Q + I)ᵀ G (Q + I)ᵀ,     dlogit_(ij) = dA_ij − dA_ji
// Two products of m × m matrices, from the result alone.
//
// Shapes: logits [..., m(m − 1)/2], row-major above the diagonal; Q [..., m, m].

import { applyOne, lastAxis, type Operation, positional, rowCount, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

interface CayleyAttributes {
  /** m, the dimensions that are rotated. */
  readonly dimensions: number;
}

/** How many logits a rotation of m dimensions has. */
export function rotationSize(m: number): number {
  return (m * (m - 1)) / 2;
}

export const cayleyOperation: Operation<["logits"], ["q"], CayleyAttributes> = positional<
  ["logits"],
  ["q"],
  CayleyAttributes
>({
  name: "cayley",
  inputs: ["logits"],
  outputs: ["q"],
  infer([logits], { dimensions: m }) {
    expectShapes(
      m >= 2 && lastAxis(logits!.shape) === rotationSize(m),
      "cayley",
      { logits: logits! },
      `${m} dimensions need m(m − 1)/2 = ${rotationSize(m)} logits, and two dimensions at least.`,
    );
    return [{ shape: [...logits!.shape.slice(0, -1), m, m], dtype: "f32" }];
  },
  gradient: ({ outputs: [q], attributes }, [g]) => [applyOne(cayleyBackwardOperation, [q!, g!], attributes)],
  flops: ({ inputs: [logits], attributes: { dimensions: m } }) => 6 * m ** 3 * rowCount(logits!.shape),
  reference([logits], [out], { dimensions: m }) {
    const size = rotationSize(m);
    for (let row = 0; row < out!.data.length / m ** 2; row++) {
      const x = invert(onePlusSkew(logits!.data.subarray(row * size, (row + 1) * size), m), m);
      x.forEach((value, at) => (out!.data[row * m * m + at] = 2 * value - (at % (m + 1) === 0 ? 1 : 0)));
    }
  },
});

/** (Q, g) → dlogits. */
export const cayleyBackwardOperation: Operation<["q", "g"], ["dlogits"], CayleyAttributes> = positional<
  ["q", "g"],
  ["dlogits"],
  CayleyAttributes
>({
  name: "cayleyBackward",
  inputs: ["q", "g"],
  outputs: ["dlogits"],
  infer: ([q], { dimensions: m }) => [{ shape: [...q!.shape.slice(0, -2), rotationSize(m)], dtype: "f32" }],
  flops: ({ outputs: [dlogits], attributes: { dimensions: m } }) => 4 * m ** 3 * rowCount(dlogits!.shape),
  reference([q, g], [dlogits], { dimensions: m }) {
    for (let at = 0, next = 0; at < q!.data.length; at += m * m) {
      const end = at + m * m;
      const twiceX = q!.data.slice(at, end).map((value, k) => (k % (m + 1) === 0 ? value + 1 : value));
      const xT = transpose(twiceX, m);
      const dA = product(product(xT, g!.data.subarray(at, end), m), xT, m);
      for (let i = 0; i < m; i++) {
        for (let j = i + 1; j < m; j++) dlogits!.data[next++] = -0.5 * (dA[i * m + j]! - dA[j * m + i]!);
      }
    }
  },
});

/** I + A, row-major. */
function onePlusSkew(logits: Float64Array, m: number): Float64Array {
  const matrix = new Float64Array(m * m);
  let next = 0;
  for (let i = 0; i < m; i++) {
    matrix[i * m + i] = 1;
    for (let j = i + 1; j < m; j++) {
      matrix[i * m + j] = logits[next]!;
      matrix[j * m + i] = -logits[next++]!;
    }
  }
  return matrix;
}

/** M⁻¹ by Gauss-Jordan without pivoting, and a step of Newton's iteration. */
function invert(matrix: Float64Array, m: number): Float64Array {
  const x = matrix.slice();
  for (let k = 0; k < m; k++) {
    const pivot = 1 / x[k * m + k]!;
    x[k * m + k] = 1;
    for (let j = 0; j < m; j++) x[k * m + j]! *= pivot;
    for (let i = 0; i < m; i++) {
      if (i === k) continue;
      const factor = x[i * m + k]!;
      x[i * m + k] = 0;
      for (let j = 0; j < m; j++) x[i * m + j]! -= factor * x[k * m + j]!;
    }
  }
  const correction = product(x, product(matrix, x, m), m);
  return x.map((value, at) => 2 * value - correction[at]!);
}

function product(a: Float64Array, b: Float64Array, m: number): Float64Array {
  return a.map((_, at) => {
    const [i, j] = [Math.floor(at / m), at % m];
    let sum = 0;
    for (let k = 0; k < m; k++) sum += a[i * m + k]! * b[k * m + j]!;
    return sum;
  });
}

function transpose(a: Float64Array, m: number): Float64Array {
  return a.map((_, at) => a[(at % m) * m + Math.floor(at / m)]!);
}

/**
 * The Cayley transform of skew-symmetric matrices: rotations, orthogonal up to rounding for any logits.
 *
 * Source: the orthogonal connections of JPmHC (arXiv 2602.18308), solved exactly.
 *
 * @param logits [..., m(m − 1)/2], the entries of A above the diagonal, row by row
 * @param dimensions m, 2 or more
 * @returns [..., m, m], Q = (I − A)(I + A)⁻¹; the identity for logits of zero
 * @throws ShapeError when the number of logits is not m(m − 1)/2
 */
export function cayley(logits: Tensor, dimensions: number): Tensor {
  return applyOne(cayleyOperation, [logits], { dimensions });
}
