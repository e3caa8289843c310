// Question: how does the CPU find the norm of all gradients?

import { clipScaleOperation } from "../../../ops/clip-scale.ts";
import { type Implementation, implement } from "../implement.ts";

export const clipScale: readonly Implementation[] = [
  implement(clipScaleOperation, ({ sums, clip }, { read, write, emit }, { limit }) =>
    emit({
      kernel: "clipScale",
      domain: 1,
      grain: 1,
      operands: { clip: write(clip, "whole"), sums: sums.map((sum) => read(sum, "whole")) },
      words: { limit },
    }),
  ),
];
