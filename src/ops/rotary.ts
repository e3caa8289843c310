// Question: how does a head learn the positions of its tokens (rotary position embedding, Su et al. 2021, arXiv
// 2104.09864)?
//
// The layout is "rotate half", as in Llama and the transformers library (not the interleaved pairs of the
// paper): in the first R columns of a head, column i < R/2 pairs with column i + R/2. At position t
//
//   y_i        = x_i · cos φ − x_{i+R/2} · sin φ,   φ = t · theta^(−2i/R)
//   y_{i+R/2}  = x_{i+R/2} · cos φ + x_i · sin φ
//
// A rotation's gradient is the rotation by −φ. The packed tensor [..., T, E] holds heads side by side;
// the leading `heads` of them (queries and keys) turn, everything else (values) passes unchanged.
// The cosines and sines are a table [T, R]: see rotary-table.ts.

import { expectFields } from "../basics/fields.ts";
import { apply, lastAxis, type Operation, rowCount, type Tensor } from "../graph/tensor.ts";
import { concat } from "./concat.ts";
import { add, multiply, scale, subtract } from "./elementwise.ts";
import { permute } from "./permute.ts";
import { broadcast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { slice } from "./slice.ts";
import { expectShapes } from "./shapes.ts";

export interface RotaryAttributes {
  /** The number of leading heads that turn: query heads plus key heads. */
  readonly heads: number;
  readonly headSize: number;
  /** Turn backwards: the gradient. */
  readonly inverse: boolean;
}

export const rotaryOperation: Operation<["x", "table"], ["y"], RotaryAttributes> = {
  name: "rotary",
  inputs: ["x", "table"],
  outputs: ["y"],
  infer({ x, table }, { heads, headSize }) {
    expectShapes(
      x.shape.length >= 2 && lastAxis(x.shape) >= heads * headSize,
      "rotary",
      { x, table },
      `x must be [..., T, E] with E at least heads · headSize = ${heads * headSize}.`,
    );
    expectShapes(
      table.shape.length === 2 && [x.shape.at(-2), rowCount(x.shape)].includes(table.shape[0]),
      "rotary",
      { x, table },
      `the table must have one row for each of x's ${x.shape.at(-2)} positions, made with rotaryTable(), or one for each row of x.`,
    );
    expectShapes(
      lastAxis(table.shape) <= headSize,
      "rotary",
      { x, table },
      `the table must not be wider than a head (${headSize}).`,
    );
    return { y: { shape: x.shape, dtype: "f32" } };
  },
  gradient: ({ table }, { y: g }, attributes) => ({
    x: apply(rotaryOperation, { x: g, table }, { ...attributes, inverse: !attributes.inverse }).y,
  }),
  flops: ({ x, table }, { heads }) => 3 * heads * lastAxis(table.shape) * rowCount(x.shape),
  reference({ x, table }, { y }, { heads, headSize, inverse }) {
    const length = rowCount(table.shape);
    const half = lastAxis(table.shape) / 2;
    y.data.set(x.data);
    for (let row = 0; row < rowCount(x.shape); row++) {
      const t = row % length;
      for (let head = 0; head < heads; head++) {
        for (let i = 0; i < half; i++) {
          const low = head * headSize + i;
          const cos = table.at(t, i);
          const sin = inverse ? -table.at(t, i + half) : table.at(t, i + half);
          y.set(row, low, x.at(row, low) * cos - x.at(row, low + half) * sin);
          y.set(row, low + half, x.at(row, low + half) * cos + x.at(row, low) * sin);
        }
      }
    }
  },
  compose({ x, table }, { heads, headSize, inverse }) {
    const [length, R, E] = [rowCount(table.shape), lastAxis(table.shape), lastAxis(x.shape)];
    const [half, turning] = [R / 2, heads * headSize];
    // [L, T, E], then the turning heads as [L, heads, T, headSize].
    const rows = reshape(x, [rowCount(x.shape) / length, length, E]);
    const split = reshape(slice(rows, 2, 0, turning), [...rows.shape.slice(0, 2), heads, headSize]);
    const x_LHTD = permute(split, [0, 2, 1, 3]);
    const low = slice(x_LHTD, 3, 0, half);
    const high = slice(x_LHTD, 3, half, half);
    const cos = broadcast(slice(table, 1, 0, half), low.shape);
    const sin = scale(broadcast(slice(table, 1, half, half), low.shape), inverse ? -1 : 1);
    const turned = [subtract(multiply(low, cos), multiply(high, sin)), add(multiply(high, cos), multiply(low, sin))];
    const kept = R < headSize ? [slice(x_LHTD, 3, R, headSize - R)] : [];
    const y = reshape(permute(concat([...turned, ...kept], 3), [0, 2, 1, 3]), [...rows.shape.slice(0, 2), turning]);
    const others = turning < E ? [slice(rows, 2, turning, E - turning)] : [];
    return { y: reshape(concat([y, ...others], 2), x.shape) };
  },
};

/**
 * Turn the leading heads of a packed tensor by the angles of their positions.
 *
 * @param x [..., T, E], heads side by side in E
 * @param table [T, R] from `rotaryTable`, or [rows of x, R] where each row has a position of its own; R at most
 *   headSize, further columns of a head pass unchanged
 * @param options how many leading heads turn, and their size
 * @throws ShapeError when x, the table and the heads do not fit
 */
export function rotary(x: Tensor, table: Tensor, options: { heads: number; headSize: number }): Tensor {
  expectFields("rotary", options, { heads: "number", headSize: "number" });
  const { heads, headSize } = options;
  return apply(rotaryOperation, { x, table }, { heads, headSize, inverse: false }).y;
}
