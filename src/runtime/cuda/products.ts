// Question: which operations does cuBLASLt do?

import { batchedMatmulExtents, batchedMatmulOperation } from "../../ops/batched-matmul.ts";
import { matmulExtents, matmulOperation } from "../../ops/matmul.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { calls, type Implementation } from "../gpu/implement.ts";
import type { Call, Operand } from "../plan/calls.ts";
import type { LoweringContext } from "../plan/machine.ts";
import type { ProductType, ProductWork } from "./work.ts";

const typeOf = ({ dtype }: Tensor): ProductType => (dtype === "bf16" ? "bf16" : "f32");

type Shape = Pick<ProductWork, "batch" | "rows" | "inner" | "columns" | "transposeA" | "transposeB">;

/** C = A B, or addend + A B, in whose place C may lie. */
export function emitProduct(
  context: LoweringContext,
  { a, b, c, addend }: { a: Tensor; b: Tensor; c: Tensor; addend?: Tensor | undefined },
  shape: Shape,
): void {
  const read = (tensor: Tensor): Operand => ({ buffer: context.buffer(tensor), access: "read", aligned: false });
  const work: ProductWork = {
    kind: "product",
    batch: shape.batch,
    rows: shape.rows,
    inner: shape.inner,
    columns: shape.columns,
    transposeA: shape.transposeA,
    transposeB: shape.transposeB,
    types: { a: typeOf(a), b: typeOf(b), c: typeOf(c) },
    accumulates: addend !== undefined,
  };
  const operands: Operand[] = [
    read(a),
    read(b),
    // Only the addend's own place is read for a place of C.
    ...(addend ? [{ ...read(addend), aligned: true }] : []),
    { buffer: context.buffer(c), access: "write", aligned: true },
  ];
  const call: Omit<Call, "label" | "flops"> = {
    kernel: "product",
    domain: 1,
    grain: 2,
    operands,
    words: [],
    inPlace: addend ? [[2, 3]] : [],
    work,
  };
  context.emit(call);
}

export const products: readonly Implementation[] = [
  calls(
    matmulOperation,
    ({ a, b, c }, attributes, context, addend) =>
      emitProduct(
        context,
        { a, b, c, addend },
        { ...attributes, batch: 1, ...matmulExtents(a.shape, b.shape, attributes) },
      ),
    { accumulates: true },
  ),
  calls(
    batchedMatmulOperation,
    ({ a, b, c }, attributes, context, addend) =>
      emitProduct(
        context,
        { a, b, c, addend },
        { ...attributes, ...batchedMatmulExtents(a.shape, b.shape, attributes) },
      ),
    { accumulates: true },
  ),
];
