// Question: how does the CPU gate the hidden layer of a feed-forward network?

import { lastAxis } from "../../../graph/tensor.ts";
import { swigluBackwardOperation, swigluOperation } from "../../../ops/swiglu.ts";
import { type Implementation, rowwise } from "../implement.ts";

export const swiglu: readonly Implementation[] = [
  rowwise(swigluOperation, "swiglu", { words: ({ y }) => ({ H: lastAxis(y.shape) }) }),
  rowwise(swigluBackwardOperation, "swigluBackward", {
    inPlace: { dx: "x" },
    words: ({ g }) => ({ H: lastAxis(g.shape) }),
  }),
];
