// Question: how does the CPU turn heads by the angles of their positions?

import { lastAxis, rowCount } from "../../../graph/tensor.ts";
import { rotaryOperation } from "../../../ops/rotary.ts";
import { type Implementation, rowwise } from "../implement.ts";

export const rotary: readonly Implementation[] = [
  rowwise(rotaryOperation, "rotary", {
    whole: ["table"],
    inPlace: { y: "x" },
    words: ({ x, table }, { heads, headSize, inverse }) => ({
      T: rowCount(table.shape),
      R: lastAxis(table.shape),
      E: lastAxis(x.shape),
      heads,
      headSize,
      inverse: inverse ? 1 : 0,
    }),
  }),
];
