// Question: how does the CPU put axes into another order?

import { rowCount } from "../../../graph/tensor.ts";
import { permutedStrides, permuteOperation } from "../../../ops/permute.ts";
import { type Implementation, rowwise } from "../implement.ts";

export const permute: readonly Implementation[] = [
  rowwise(permuteOperation, "permute", {
    rows: ({ y }) => rowCount(y.shape),
    whole: ["x"],
    words: ({ x, y }, { axes }) => ({
      rank: y.shape.length,
      sizes: y.shape,
      strides: permutedStrides(x.shape, axes),
    }),
  }),
];
