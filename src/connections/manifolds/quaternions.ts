// Question: which rotations of four streams do quaternions give?
//
// Rotations of four streams by two unit quaternions (oHC, arXiv 2609.02672):
//
//   H x = p̂ · x · q̂*,  p̂ = p/|p|, q̂ = q/|q|, a stream being a component of the quaternion x
//
// Every rotation of SO(4) is of this form. H is linear in each entry of p̂ and of q̂, so it is the outer
// product p̂ q̂ᵀ times a fixed [16, 16] matrix.
//
// Degrees of freedom 6, by 8 logits (p | q, real part first). Guarantees H Hᵀ = I: spectral norm 1; signs,
// rows and columns are free. n = 4 only. A quaternion of zeros gives H = 0, which stays finite.
// Start: p = q = 1, the identity exactly, |λ₂| = 1.

import { rowCount } from "../../graph/tensor.ts";
import { constant } from "../../graph/state.ts";
import { batchedMatmul } from "../../ops/batched-matmul.ts";
import { matmul } from "../../ops/matmul.ts";
import { reshape } from "../../ops/reshape.ts";
import { rmsNorm } from "../../ops/rms-norm.ts";
import { slice } from "../../ops/slice.ts";
import { oneHot } from "../initialisation.ts";
import { atMostOne, type ResidualMap } from "./residual-map.ts";

/** H x = p̂ x q̂*. */
export const quaternions: ResidualMap = {
  size: () => 8,
  project(logits) {
    const tokens = rowCount(logits.shape);
    // The norm of four numbers is twice their root mean square.
    const units = rmsNorm(reshape(logits, [tokens, 2, 4]), constant(Array<number>(4).fill(0.5), [4]), 1e-20);
    const products = batchedMatmul(slice(units, 1, 0, 1), slice(units, 1, 1, 1), { transposeA: true });
    return matmul(reshape(products, [tokens, 16]), constant(basis(), [16, 16]));
  },
  bias: () => [...oneHot(4, 0), ...oneHot(4, 0)],
  guarantee: { rows: false, columns: false, nonNegative: false, spectralNorm: atMostOne },
  supports: (n) => n === 4 || "two quaternions are the rotations of 4 streams; cayley gives rotations of any number.",
};

/** Row (a, b): the matrix of x → e_a · x · e_b*, e = 1, i, j, k. */
function basis(): number[] {
  const unit = (index: number): number[] => oneHot(4, index);
  const conjugate = ([w, x, y, z]: readonly number[]): number[] => [w!, -x!, -y!, -z!];
  return [0, 1, 2, 3].flatMap((a) =>
    [0, 1, 2, 3].flatMap((b) => {
      const columns = [0, 1, 2, 3].map((j) => hamilton(hamilton(unit(a), unit(j)), conjugate(unit(b))));
      return [0, 1, 2, 3].flatMap((i) => columns.map((column) => column[i]! + 0));
    }),
  );
}

/** The product of two quaternions. */
function hamilton(p: readonly number[], q: readonly number[]): number[] {
  const [a, b, c, d] = p as [number, number, number, number];
  const [w, x, y, z] = q as [number, number, number, number];
  return [
    a * w - b * x - c * y - d * z,
    a * x + b * w + c * z - d * y,
    a * y - b * z + c * w + d * x,
    a * z + b * y - c * x + d * w,
  ];
}
