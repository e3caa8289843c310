// Question: which values has a product in 8 bits?
//
// The factors of a product are cut into blocks, each with a scale s, and x / s is rounded to the nearest e4m3, ties to
// even: 4 significant bits, at most 448, steps of 2⁻⁹ below 2⁻⁶. The result is s · e4m3(x / s), in float32.
//
//   s = 2^k,  the smallest with max |x| ≤ 448 s in the block
//
// As DeepSeek-V3 trains (arXiv 2412.19437, §3.3.2): blocks of 1 x 128 along the sum for activations and gradients, of
// 128 x 128 for weights. With powers of two as scales every result is exact in bfloat16. A block with values that are
// not finite, or beyond 2¹⁰⁰, is left as it is. Rounding counts as the identity for gradients.

import { expectFields } from "../basics/fields.ts";
import { apply, lastAxis, type Operation, rowCount, sizeOf, type Tensor, type TensorSpec } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

/** The block of values that shares a scale. */
export interface Float8Block {
  readonly rows: number;
  readonly columns: number;
}

/** Rows after which blocks begin anew: of several matrices each has its own. */
export function rowsOfMatrix({ shape }: Pick<TensorSpec, "shape">, { rows }: Float8Block): number {
  return rows > 1 && shape.length === 3 ? shape[1]! : rowCount(shape);
}

export const roundToFloat8Operation: Operation<["x"], ["y"], Float8Block> = {
  name: "roundToFloat8",
  inputs: ["x"],
  outputs: ["y"],
  infer({ x }) {
    expectShapes(x.dtype === "f32", "roundToFloat8", { x }, `the values must be f32, not ${x.dtype}.`);
    return { y: { shape: x.shape, dtype: "f32" } };
  },
  gradient: (_tensors, { y: g }) => ({ x: g }),
  flops: ({ x }) => 4 * sizeOf(x.shape),
  reference({ x }, { y }, block) {
    const [all, columns] = [rowCount(x.shape), lastAxis(x.shape)];
    const rows = rowsOfMatrix(x, block);
    for (let first = 0; first < all; first += rows)
      for (let i = first; i < first + rows; i += block.rows)
        for (let j = 0; j < columns; j += block.columns) {
          const places: number[] = [];
          for (let r = i; r < Math.min(i + block.rows, first + rows); r++)
            for (let c = j; c < Math.min(j + block.columns, columns); c++) places.push(r * columns + c);
          const largest = Math.max(...places.map((at) => Math.abs(Math.fround(x.at(at)))));
          for (const at of places) y.set(at, roundToFloat8Of(Math.fround(x.at(at)), largest));
        }
  },
};

/** A value of a block whose largest magnitude is given. */
function roundToFloat8Of(value: number, largest: number): number {
  if (value === 0 || !(largest < 2 ** 100)) return value;
  // largest = m · 2^e fits into 448 · 2^k = 1.75 · 2^(8 + k).
  const e = exponentOf(largest);
  const scale = largest / 2 ** e <= 1.75 ? e - 8 : e - 7;
  const step = 2 ** (Math.max(exponentOf(value), scale - 6) - 3);
  return roundToEven(value / step) * step;
}

/** e of |x| = m · 2^e, 1 ≤ m < 2. */
function exponentOf(x: number): number {
  const e = Math.floor(Math.log2(Math.abs(x)));
  return 2 ** e > Math.abs(x) ? e - 1 : 2 ** (e + 1) <= Math.abs(x) ? e + 1 : e;
}

/** The nearest whole number, of two the even one. */
function roundToEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

/**
 * Round to e4m3, 8 bits with 4 significant ones, with a scale of a power of two for each block.
 *
 * @param x f32, all axes but the last are rows; of three axes the first counts matrices, and blocks of several rows
 *   do not reach from one into the next
 * @param block rows and columns that share a scale, such as 1 and 128
 * @returns the rounded values, f32 of the same shape
 * @throws RangeError unless the block has at least one row and one column
 */
export function roundToFloat8(x: Tensor, block: Float8Block): Tensor {
  expectFields("roundToFloat8", block, { rows: "number", columns: "number" });
  for (const [name, size] of Object.entries(block))
    if (!Number.isInteger(size) || size < 1)
      throw new RangeError(`roundToFloat8: ${name} is ${size}; it must be a whole number of at least 1.`);
  return apply(roundToFloat8Operation, { x }, { rows: block.rows, columns: block.columns }).y;
}
