// Heads that turn, wholly and in part; rows with positions of their own.

import { gather } from "../../../src/ops/gather.ts";
import { rotaryTable } from "../../../src/ops/rotary-table.ts";
import { rotary } from "../../../src/ops/rotary.ts";
import type { OperationCase } from "../case.ts";

type Shape = readonly number[];

function rotaryCase(shape: Shape, heads: number, headSize: number, dimension: number, theta?: number): OperationCase {
  return {
    name: `rotary [${shape}], ${heads} heads of ${headSize}, ${dimension} turning`,
    inputs: { x: { shape } },
    build: ({ x }) =>
      rotary(x!, rotaryTable({ length: shape.at(-2)!, dimension, ...(theta && { theta }) }), { heads, headSize }),
  };
}

/** Each row at a position of its own. */
const rowRotaryCase: OperationCase = {
  name: "rotary [3, 1, 24] with a row of angles for each row",
  inputs: { x: { shape: [3, 1, 24] }, positions: { shape: [3], dtype: "i32", values: (_, i) => [4, 0, 6][i]! } },
  build: ({ x, positions }) =>
    rotary(x!, gather(rotaryTable({ length: 7, dimension: 8 }), positions!), { heads: 2, headSize: 8 }),
};

export const rotaryCases: readonly OperationCase[] = [
  rotaryCase([1, 1, 6], 1, 4, 4),
  rotaryCase([2, 51, 30], 3, 10, 10),
  rotaryCase([2, 7, 96], 4, 16, 16, 500000),
  rotaryCase([130, 56], 2, 24, 18, 100),
  rowRotaryCase,
];
