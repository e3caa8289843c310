// Question: how does CUDA multiply matrices? By cuBLASLt, but for factors of 8 bits (ops/float8.ts) and for products with few
// rows and columns and a long sum (ops/stream-projection.ts).

import { batchedMatmulExtents, batchedMatmulOperation } from "../../ops/batched-matmul.ts";
import { matmulExtents, matmulOperation } from "../../ops/matmul.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { calls, type Implementation } from "../gpu/implement.ts";
import type { Call, Operand } from "../plan/calls.ts";
import type { LoweringContext, Stored } from "../plan/machine.ts";
import { cudaOperand } from "./implement.ts";
import { emitCodes, emitFloat8Product, fitsFloat8, roundedFactor } from "./ops/float8.ts";
import { emitTransposedProduct, isTransposedProduct } from "./ops/stream-projection.ts";
import type { ProductType, ProductWork } from "./work.ts";

const typeOf = ({ dtype }: Stored): ProductType => (dtype === "bf16" ? "bf16" : "f32");

type Shape = Pick<ProductWork, "batch" | "rows" | "inner" | "columns" | "transposeA" | "transposeB">;

interface Factors {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  readonly addend?: Tensor | undefined;
}

/** C = A B, or addend + A B, in whose place C may lie. */
export function emitProduct(context: LoweringContext, { a, b, c, addend }: Factors, shape: Shape): void {
  const plain = (tensor: Tensor): Stored => ({ buffer: context.buffer(tensor), dtype: tensor.dtype });
  const read = ({ buffer }: Stored): Operand => ({ buffer, access: "read", aligned: false });
  // Both factors are of one type; only a product of bfloat16 is bfloat16, and then what is added to it is, too.
  const factors = [context.stored(a), context.stored(b)] as const;
  const alike = typeOf(factors[0]) === typeOf(factors[1]);
  const [first, second] = alike ? factors : [plain(a), plain(b)];
  const sum = addend && context.stored(addend);
  const narrow = typeOf(first) === "bf16" && typeOf(second) === "bf16" && (!sum || typeOf(sum) === "bf16");
  const result = narrow ? context.stored(c) : plain(c);
  const added = addend && sum && (typeOf(sum) === typeOf(result) ? sum : plain(addend));
  const work: ProductWork = {
    kind: "product",
    batch: shape.batch,
    rows: shape.rows,
    inner: shape.inner,
    columns: shape.columns,
    transposeA: shape.transposeA,
    transposeB: shape.transposeB,
    types: { a: typeOf(first), b: typeOf(second), c: typeOf(result) },
    accumulates: added !== undefined,
  };
  const operands: Operand[] = [
    read(first),
    read(second),
    // Only the addend's own place is read for a place of C.
    ...(added ? [{ ...read(added), aligned: true }] : []),
    { buffer: result.buffer, access: "write", aligned: true },
  ];
  const call: Omit<Call, "label" | "flops"> = {
    kernel: "product",
    domain: 1,
    grain: 2,
    operands,
    words: [],
    inPlace: added ? [[2, 3]] : [],
    work,
  };
  context.emit(call);
}

/** The product of two factors of 8 bits, where it is one. */
function emitCoded(
  context: LoweringContext,
  { a, b, c, addend }: Factors,
  { batch, rows, columns, transposeA, transposeB }: Shape,
): boolean {
  const [innerA, innerB] = [transposeA ? "first" : "last", transposeB ? "last" : "first"] as const;
  const [first, second] = [roundedFactor(a, innerA, batch), roundedFactor(b, innerB, batch)];
  if (!first || !second || !fitsFloat8(columns)) return false;
  emitFloat8Product(context, {
    batch,
    rows,
    columns,
    a: emitCodes(context, "a", first, innerA, batch),
    b: emitCodes(context, "b", second, innerB, batch),
    c: cudaOperand(context, c),
    before: addend && cudaOperand(context, addend),
  });
  return true;
}

/** @param float8 whether the GPU multiplies factors of 8 bits */
export const products = (float8: boolean): readonly Implementation[] => [
  calls(
    matmulOperation,
    ({ a, b, c }, attributes, context, addend) => {
      const extents = matmulExtents(a.shape, b.shape, attributes);
      if (float8 && emitCoded(context, { a, b, c, addend }, { ...attributes, batch: 1, ...extents })) return;
      const { rows: P, inner: rows, columns: K } = extents;
      const [left, right] = [cudaOperand(context, a), cudaOperand(context, b)];
      const few = attributes.transposeA && !attributes.transposeB && !addend;
      if (few && isTransposedProduct(P, K, left, right)) {
        const result = { buffer: context.buffer(c), type: "f32" } as const;
        emitTransposedProduct(context, { rows, P, K }, { a: left, b: right, c: result });
      } else emitProduct(context, { a, b, c, addend }, { ...attributes, batch: 1, ...extents });
    },
    { accumulates: true },
  ),
  calls(
    batchedMatmulOperation,
    ({ a, b, c }, attributes, context, addend) => {
      const shape = { ...attributes, ...batchedMatmulExtents(a.shape, b.shape, attributes) };
      if (!(float8 && emitCoded(context, { a, b, c, addend }, shape))) emitProduct(context, { a, b, c, addend }, shape);
    },
    { accumulates: true },
  ),
];
