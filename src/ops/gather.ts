// Question: how are rows of a table read by index, and summed into by index?
//
//   gather       y[i] = table[indices[i]]                     table [V, C], indices i32 [...], y [..., C]
//   scatterAdd   y[v] = Σ over i with indices[i] = v of g[i]  indices i32 [...], g [..., C], y [V, C]
//
// Each is the other's gradient. An index outside [0, V) is an error when the program runs: see indices.ts.

import {
  apply,
  f32,
  lastAxis,
  type Operation,
  rowCount,
  sameShape,
  sizeOf,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
import { expectIndex } from "./indices.ts";
import { expectShapes } from "./shapes.ts";

export const gatherOperation: Operation<["table", "indices"], ["y"]> = {
  name: "gather",
  inputs: ["table", "indices"],
  outputs: ["y"],
  infer({ table, indices }) {
    expectShapes(table.shape.length === 2, "gather", { table, indices }, "the table must have two axes, [V, C].");
    expectIndices("gather", indices, table);
    return { y: f32(...indices.shape, lastAxis(table.shape)) };
  },
  gradient: ({ table, indices }, { y: g }) => ({ table: scatterAdd(indices, g, rowCount(table.shape)) }),
  flops: () => 0,
  reference({ table, indices }, { y }) {
    const [rows, C] = [rowCount(table.shape), lastAxis(table.shape)];
    indices.data.forEach((index, i) => {
      expectIndex("gather", index, i, rows);
      y.data.set(table.data.subarray(index * C, (index + 1) * C), i * C);
    });
  },
};

export interface ScatterAddAttributes {
  /** V. */
  readonly rows: number;
}

export const scatterAddOperation: Operation<["indices", "g"], ["y"], ScatterAddAttributes> = {
  name: "scatterAdd",
  inputs: ["indices", "g"],
  outputs: ["y"],
  infer({ indices, g }, { rows }) {
    expectIndices("scatterAdd", indices, g);
    expectShapes(
      sameShape(g.shape.slice(0, -1), indices.shape) && g.shape.length >= 1,
      "scatterAdd",
      { indices, g },
      "g must have one row for each index.",
    );
    return { y: f32(rows, lastAxis(g.shape)) };
  },
  gradient: ({ indices }, { y }) => ({ g: gather(y, indices) }),
  flops: ({ g }) => sizeOf(g.shape),
  reference({ indices, g }, { y }, { rows }) {
    indices.data.forEach((index, i) => {
      expectIndex("scatterAdd", index, i, rows);
      for (let c = 0; c < lastAxis(g.shape); c++) y.add(index, c, g.at(i, c));
    });
  },
};

function expectIndices(operation: string, indices: TensorSpec, values: TensorSpec): void {
  expectShapes(
    indices.dtype === "i32" && values.dtype === "f32",
    operation,
    { indices, values },
    `indices must be i32 and values f32, not ${indices.dtype} and ${values.dtype}.`,
  );
}

/**
 * Rows of a table.
 *
 * @param table [V, C]
 * @param indices i32 [...], each in [0, V)
 * @returns [..., C]
 * @throws ShapeError when the table does not have two axes or the indices are not i32
 */
export function gather(table: Tensor, indices: Tensor): Tensor {
  return apply(gatherOperation, { table, indices }).y;
}

/**
 * Token embeddings: gather, under the name that models use.
 *
 * @param table [V, C]
 * @param tokens i32 [...], each in [0, V)
 * @returns [..., C]
 */
export function embedding(table: Tensor, tokens: Tensor): Tensor {
  return gather(table, tokens);
}

/**
 * Sum rows of g into a table of zeros.
 *
 * @param indices i32 [...], each in [0, rows)
 * @param g [..., C]
 * @returns [rows, C]
 */
export function scatterAdd(indices: Tensor, g: Tensor, rows: number): Tensor {
  return apply(scatterAddOperation, { indices, g }, { rows }).y;
}
