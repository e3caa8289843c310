// Question: how does the CPU turn rows into probabilities?

import { lastAxis } from "../../../graph/tensor.ts";
import { softmaxBackwardOperation, softmaxOperation } from "../../../ops/softmax.ts";
import { type Implementation, rowwise } from "../implement.ts";

export const softmax: readonly Implementation[] = [
  rowwise(softmaxOperation, "softmax", {
    inPlace: { y: "x" },
    words: ({ x }) => ({ size: lastAxis(x.shape) }),
  }),
  rowwise(softmaxBackwardOperation, "softmaxBackward", {
    inPlace: { dx: ["g", "y"] },
    words: ({ y }) => ({ size: lastAxis(y.shape) }),
  }),
];
