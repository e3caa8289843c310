// Rows of a table by index, and sums into rows by index: each is the other's gradient.
//
//   gather       y[i] = table[indices[i]]                     table [V, C], indices i32 [...], y [..., C]
//   scatterAdd   y[v] = Σ over i with indices[i] = v of g[i]  indices i32 [...], g [..., C], y [V, C]
//
// Indices are the host's duty: they must lie in [0, V) before a program runs. The reference checks
// them; the kernels of the other runtimes do not.

import {
  applyOne,
  f32,
  lastAxis,
  type Operation,
  positional,
  sameShape,
  sizeOf,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
import { expectIndex } from "./indices.ts";
import { expectShapes } from "./shapes.ts";

export const gatherOperation: Operation<["table", "indices"], ["y"]> = positional<["table", "indices"], ["y"], unknown>(
  {
    name: "gather",
    inputs: ["table", "indices"],
    outputs: ["y"],
    infer([table, indices]) {
      expectShapes(
        table!.shape.length === 2,
        "gather",
        { table: table!, indices: indices! },
        "the table must have two axes, [V, C].",
      );
      expectIndices("gather", indices!, table!);
      return [f32(...indices!.shape, table!.shape[1]!)];
    },
    gradient: ({ inputs: [table, indices] }, [g]) => [scatterAdd(indices!, g!, table!.shape[0]!), undefined],
    flops: () => 0,
    reference([table, indices], [y]) {
      const [rows, size] = table!.shape as [number, number];
      indices!.data.forEach((index, i) => {
        expectIndex("gather", index, i, rows);
        for (let c = 0; c < size; c++) y!.data[i * size + c] = table!.data[index * size + c]!;
      });
    },
  },
);

export const scatterAddOperation: Operation<["indices", "g"], ["y"], { readonly rows: number }> = positional<
  ["indices", "g"],
  ["y"],
  { readonly rows: number }
>({
  name: "scatterAdd",
  inputs: ["indices", "g"],
  outputs: ["y"],
  infer([indices, g], { rows }) {
    expectIndices("scatterAdd", indices!, g!);
    expectShapes(
      sameShape(g!.shape.slice(0, -1), indices!.shape) && g!.shape.length >= 1,
      "scatterAdd",
      { indices: indices!, g: g! },
      "g must have one row for each index.",
    );
    return [f32(rows, lastAxis(g!.shape))];
  },
  gradient: ({ inputs: [indices] }, [g]) => [undefined, gather(g!, indices!)],
  flops: (node) => sizeOf(node.inputs[1]!.shape),
  reference([indices, g], [y], { rows }) {
    const size = lastAxis(g!.shape);
    indices!.data.forEach((index, i) => {
      expectIndex("scatterAdd", index, i, rows);
      for (let c = 0; c < size; c++) y!.data[index * size + c]! += g!.data[i * size + c]!;
    });
  },
});

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
 * @throws ShapeError when the table has not two axes or the indices are not i32
 */
export function gather(table: Tensor, indices: Tensor): Tensor {
  return applyOne(gatherOperation, [table, indices], {});
}

/**
 * Token embeddings: gather under the name models use.
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
  return applyOne(scatterAddOperation, [indices, g], { rows });
}
