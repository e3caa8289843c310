// Rotary position embedding (Su et al. 2021, arXiv 2104.09864).
//
// Layout "rotate half", as in Llama and the transformers library (not the interleaved pairs of the
// paper): in the first R columns of a head, column i < R/2 pairs with column i + R/2. At position t
//
//   y_i        = x_i · cos φ − x_{i+R/2} · sin φ,   φ = t · theta^(−2i/R)
//   y_{i+R/2}  = x_{i+R/2} · cos φ + x_i · sin φ
//
// A rotation's gradient is the rotation by −φ. The packed tensor [..., T, E] holds heads side by side;
// the leading `heads` of them (queries and keys) turn, everything else (values) passes unchanged.
// The cosines and sines are a table [T, R] = cos | sin, made once a program and shared by all layers.

import { applyOne, f32, lastAxis, type Operation, positional, rowCount, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

/** The sizes and the base of a table of angles. */
export interface RotaryTableAttributes {
  /** T: positions 0 to T − 1. */
  readonly length: number;
  /** R: columns of a head that turn; even. */
  readonly dimension: number;
  /** Base of the geometric row of frequencies. */
  readonly theta: number;
}

export interface RotaryAttributes {
  /** Leading heads that turn: query heads plus key heads. */
  readonly heads: number;
  readonly headSize: number;
  /** Turn backwards: the gradient. */
  readonly inverse: boolean;
}

/** () → [T, R]: the cosines of a position's angles, then their sines. */
export const rotaryTableOperation: Operation<[], ["table"], RotaryTableAttributes> = positional<[], ["table"], RotaryTableAttributes>({
  name: "rotaryTable",
  inputs: [],
  outputs: ["table"],
  infer(_inputs, { length, dimension, theta }) {
    expectShapes(
      dimension % 2 === 0,
      "rotaryTable",
      { table: [length, dimension] },
      "columns turn in pairs, so their number must be even.",
    );
    if (!(theta > 0)) throw new RangeError(`rotaryTable: theta must be positive, got ${theta}; 10000 is usual.`);
    return [f32(length, dimension)];
  },
  flops: (node) => 20 * sizeOf(node.outputs[0]!.shape),
  reference(_inputs, [table], { length, dimension, theta }) {
    const half = dimension / 2;
    for (let t = 0; t < length; t++) {
      for (let i = 0; i < half; i++) {
        const angle = t * theta ** (-i / half);
        table!.data[t * dimension + i] = Math.cos(angle);
        table!.data[t * dimension + half + i] = Math.sin(angle);
      }
    }
  },
});

/** (x, table) → y. */
export const rotaryOperation: Operation<["x", "table"], ["y"], RotaryAttributes> = positional<["x", "table"], ["y"], RotaryAttributes>({
  name: "rotary",
  inputs: ["x", "table"],
  outputs: ["y"],
  infer([x, table], { heads, headSize }) {
    const operands = { x: x!, table: table! };
    expectShapes(
      x!.shape.length >= 2 && lastAxis(x!.shape) >= heads * headSize,
      "rotary",
      operands,
      `x must be [..., T, E] with E at least heads · headSize = ${heads * headSize}.`,
    );
    expectShapes(
      table!.shape.length === 2 && [x!.shape.at(-2), rowCount(x!.shape)].includes(table!.shape[0]),
      "rotary",
      operands,
      `the table must have one row for each of x's ${x!.shape.at(-2)} positions, made with rotaryTable(), or one for each row of x.`,
    );
    expectShapes(
      lastAxis(table!.shape) <= headSize,
      "rotary",
      operands,
      `the table must not be wider than a head (${headSize}).`,
    );
    return [{ shape: x!.shape, dtype: "f32" }];
  },
  gradient({ inputs: [, table], attributes }, [g]) {
    return [applyOne(rotaryOperation, [g!, table!], { ...attributes, inverse: !attributes.inverse }), undefined];
  },
  flops: ({ inputs: [x, table], attributes: { heads } }) =>
    3 * heads * lastAxis(table!.shape) * (sizeOf(x!.shape) / lastAxis(x!.shape)),
  reference([x, table], [y], { heads, headSize, inverse }) {
    const [length, dimension] = table!.shape as [number, number];
    const width = lastAxis(x!.shape);
    const half = dimension / 2;
    y!.data.set(x!.data);
    for (let row = 0; row * width < x!.data.length; row++) {
      for (let head = 0; head < heads; head++) {
        for (let i = 0; i < half; i++) {
          const low = row * width + head * headSize + i;
          const angle = (row % length) * dimension + i;
          const cos = table!.data[angle]!;
          const sin = inverse ? -table!.data[angle + half]! : table!.data[angle + half]!;
          y!.data[low] = x!.data[low]! * cos - x!.data[low + half]! * sin;
          y!.data[low + half] = x!.data[low + half]! * cos + x!.data[low]! * sin;
        }
      }
    }
  },
});

/**
 * Cosines and sines for `rotary`: [length, dimension], one row a position.
 *
 * @throws ShapeError when the dimension is odd; RangeError when theta is not positive
 */
export function rotaryTable({
  length,
  dimension,
  theta = 10000,
}: Omit<RotaryTableAttributes, "theta"> & { theta?: number }): Tensor {
  return applyOne(rotaryTableOperation, [], { length, dimension, theta });
}

/**
 * Turn the leading heads of a packed tensor by the angles of their positions.
 *
 * @param x [..., T, E], heads side by side in E
 * @param table [T, R] from `rotaryTable`, or [rows of x, R] where each row has a position of its own; R at most
 *   headSize, further columns of a head pass unchanged
 * @param options how many leading heads turn, and their size
 * @throws ShapeError when x, the table and the heads do not fit
 */
export function rotary(x: Tensor, table: Tensor, { heads, headSize }: { heads: number; headSize: number }): Tensor {
  return applyOne(rotaryOperation, [x, table], { heads, headSize, inverse: false });
}
