// Question: how does the CPU make numbers indices?

import { toIndicesOperation } from "../../../ops/to-indices.ts";
import { elementwise, type Implementation } from "../implement.ts";

export const toIndices: readonly Implementation[] = [
  elementwise(toIndicesOperation, "toIndices", { inPlace: { indices: "x" }, words: () => ({}) }),
];
