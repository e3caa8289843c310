// Question: by which angles do positions turn (Su et al. 2021, arXiv 2104.09864)?
//
//   [T, R] = cos φ | sin φ,   φ = t · theta^(−2i/R) for i < R/2
//
// A program makes the table once, and all layers share it.

import { expectFields } from "../basics/fields.ts";
import { constant } from "../graph/state.ts";
import { apply, f32, type Operation, sizeOf, type Tensor, Values } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

/** The sizes and the base of a table of angles. */
export interface RotaryTableAttributes {
  /** T: positions 0 to T − 1. */
  readonly length: number;
  /** R: columns of a head that turn; even. */
  readonly dimension: number;
  /** Base of the geometric series of frequencies. */
  readonly theta: number;
}

export const rotaryTableOperation: Operation<[], ["table"], RotaryTableAttributes> = {
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
    // Below 1 the last pair turns fastest. Beyond 2^31 an angle in float64 has too few digits left for its cosine.
    const largest = (length - 1) * Math.max(1, theta ** (2 / dimension - 1));
    if (!(theta > 0 && theta < Infinity && largest < 2 ** 31))
      throw new RangeError(
        `rotaryTable: theta is ${theta} for ${length} positions; it must be positive, with angles below 2^31; 10000 is usual.`,
      );
    return { table: f32(length, dimension) };
  },
  flops: ({ table }) => 20 * sizeOf(table.shape),
  reference(_inputs, { table }, { length, dimension, theta }) {
    const half = dimension / 2;
    for (let t = 0; t < length; t++) {
      for (let i = 0; i < half; i++) {
        const angle = t * theta ** (-i / half);
        table.set(t, i, Math.cos(angle));
        table.set(t, half + i, Math.sin(angle));
      }
    }
  },
  compose(_inputs, attributes) {
    const table = new Values([attributes.length, attributes.dimension]);
    rotaryTableOperation.reference({}, { table }, attributes);
    return { table: constant([...table.data], table.shape) };
  },
};

/**
 * Cosines and sines for `rotary`: [length, dimension], one row a position.
 *
 * @throws ShapeError when the dimension is odd; RangeError when theta is not positive
 */
export function rotaryTable(options: Omit<RotaryTableAttributes, "theta"> & { theta?: number }): Tensor {
  expectFields("rotaryTable", options, { length: "number", dimension: "number", theta: "number" });
  const { length, dimension, theta = 10000 } = options;
  return apply(rotaryTableOperation, {}, { length, dimension, theta }).table;
}
