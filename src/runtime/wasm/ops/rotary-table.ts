// Question: how does the CPU find the angles of positions?

import { rotaryTableOperation } from "../../../ops/rotary-table.ts";
import { type Implementation, rowwise } from "../implement.ts";

export const rotaryTable: readonly Implementation[] = [
  rowwise(rotaryTableOperation, "rotaryTable", {
    rows: (_, { length }) => length,
    words: (_, { dimension, theta }) => ({ R: dimension, ratio: theta ** (-2 / dimension) }),
  }),
];
