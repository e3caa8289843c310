// Question: how does the CPU find the loss of each row?

import { lastAxis } from "../../../graph/tensor.ts";
import { crossEntropyBackwardOperation, crossEntropyOperation } from "../../../ops/cross-entropy.ts";
import { type Implementation, rowwise } from "../implement.ts";

export const crossEntropy: readonly Implementation[] = [
  rowwise(crossEntropyOperation, "crossEntropy", { words: ({ logits }) => ({ size: lastAxis(logits.shape) }) }),
  rowwise(crossEntropyBackwardOperation, "crossEntropyBackward", {
    inPlace: { dlogits: "logits" },
    words: ({ logits }) => ({ size: lastAxis(logits.shape) }),
  }),
];
