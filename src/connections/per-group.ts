// Question: how does one learned scale serve a whole group of coefficients?
//
//   s = α G,   G[g, p] = 1 where coefficient p belongs to group g, else 0
//
// Shapes: alpha [groups], s [P], P the sum of the groups' sizes; groups lie one after another.

import { constant } from "../graph/state.ts";
import type { Tensor } from "../graph/tensor.ts";
import { matmul } from "../ops/matmul.ts";
import { reshape } from "../ops/reshape.ts";

/** Each scale of alpha [groups], repeated for the coefficients of its group → [P]. */
export function perGroup(alpha: Tensor, sizes: readonly number[]): Tensor {
  const groups = sizes.length,
    P = sizes.reduce((sum, size) => sum + size, 0);
  const rows = sizes.map((_, row) => sizes.flatMap((size, group) => Array<number>(size).fill(group === row ? 1 : 0)));
  return reshape(matmul(reshape(alpha, [1, groups]), constant(rows.flat(), [groups, P])), [P]);
}
