// Question: how does the CPU choose between two values?

import { selectOperation } from "../../../ops/select.ts";
import { elementwise, type Implementation } from "../implement.ts";

export const select: readonly Implementation[] = [
  elementwise(selectOperation, "select", { inPlace: { y: ["a", "b", "condition"] }, words: () => ({}) }),
];
