// Question: which matrix with singular values near one has the singular vectors of another?
//
// U Vᵀ of G = U S Vᵀ, by Newton-Schulz iterations on X = G / ‖G‖ (Jordan et al. 2024, Muon):
//
//   X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X
//
// With (a, b, c) = (3.4445, −4.7750, 2.0315) five iterations bring singular values from 0.01 on into 0.68 to 1.14; they
// do not settle at one. (2, −1.5, 0.5), which may follow, settles them there. Products take the shorter side.
//
// Shapes: [R, C], or [..., R, C] for many matrices.

import { type Tensor } from "../../graph/tensor.ts";
import { batchedMatmul } from "../../ops/batched-matmul.ts";
import { add, divide, scale, shift, sqrt, square } from "../../ops/elementwise.ts";
import { fill } from "../../ops/fill.ts";
import { matmul } from "../../ops/matmul.ts";
import { broadcast, broadcastLast, sumLast } from "../../ops/reductions.ts";
import { reshape } from "../../ops/reshape.ts";
import { select } from "../../ops/select.ts";
import { sumSquares } from "../../ops/sum-squares.ts";

/** How often each of the two polynomials is applied. */
export interface Iterations {
  /** With the steep one. */
  readonly iterations: number;
  /** With the one that settles at 1, after it. */
  readonly finishing: number;
}

const STEEP = [3.4445, -4.775, 2.0315] as const;
const SETTLING = [2, -1.5, 0.5] as const;

/** The least norm that is divided by. */
const LEAST_NORM = 1e-7;

/** Each matrix of g with its singular values brought near one: [..., R, C] → the same. */
export function orthogonalise(g: Tensor, { iterations, finishing }: Iterations): Tensor {
  const [R, C] = g.shape.slice(-2) as [number, number];
  const product = g.shape.length === 2 ? matmul : batchedMatmul;
  let x = divide(g, norms(g));
  for (let index = 0; index < iterations + finishing; index++) {
    const [a, b, c] = index < iterations ? STEEP : SETTLING;
    const gram = R > C ? product(x, x, { transposeA: true }) : product(x, x, { transposeB: true });
    const factor = add(scale(gram, b), scale(product(gram, gram), c));
    x = add(scale(x, a), R > C ? product(x, factor) : product(factor, x));
  }
  return x;
}

/** ‖ · ‖ of each matrix, at each of its numbers. */
function norms(g: Tensor): Tensor {
  const { shape } = g;
  const floored = (norm: Tensor): Tensor => select(shift(norm, -LEAST_NORM), norm, fill(norm.shape, LEAST_NORM));
  if (shape.length === 2) return broadcast(floored(sqrt(reshape(sumSquares(g), []))), shape);
  const size = shape.at(-2)! * shape.at(-1)!;
  const rows = reshape(square(g), [...shape.slice(0, -2), size]);
  return reshape(broadcastLast(floored(sqrt(sumLast(rows))), size), shape);
}
