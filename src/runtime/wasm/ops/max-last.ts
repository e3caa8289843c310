// Question: how does the CPU find the largest entry of each row?

import { lastAxis } from "../../../graph/tensor.ts";
import { maxLastOperation } from "../../../ops/max-last.ts";
import { rowwise, type Implementation } from "../implement.ts";

export const maxLast: readonly Implementation[] = [
  rowwise(maxLastOperation, "maxLast", { words: ({ x }) => ({ size: lastAxis(x.shape) }) }),
];
