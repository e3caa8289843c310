// Question: how does the CPU calculate with indices?

import { toFloatsOperation } from "../../../ops/to-floats.ts";
import { elementwise, type Implementation } from "../implement.ts";

export const toFloats: readonly Implementation[] = [
  elementwise(toFloatsOperation, "toFloats", { inPlace: { x: "indices" }, words: () => ({}) }),
];
