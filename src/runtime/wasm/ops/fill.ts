// Question: how does the CPU fill a tensor?

import { fillOperation } from "../../../ops/fill.ts";
import { elementwise, type Implementation } from "../implement.ts";

export const fill: readonly Implementation[] = [
  elementwise(fillOperation, "fill", { words: (_, { value }) => ({ value }) }),
];
