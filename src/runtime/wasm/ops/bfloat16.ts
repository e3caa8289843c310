// Question: how does the CPU round values to bfloat16, and widen them?

import { sizeOf } from "../../../graph/tensor.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../../ops/bfloat16.ts";
import { type Implementation, implement } from "../implement.ts";

export const bfloat16: readonly Implementation[] = [
  implement(toBfloat16Operation, ({ x, narrow }, { read, write, itemOf, emit }) =>
    emit({
      kernel: "toBfloat16",
      domain: undefined,
      grain: 1,
      operands: { x: read(x, "share"), narrow: write(narrow, "share") },
      words: { item: itemOf(x), all: sizeOf(x.shape) },
    }),
  ),
  implement(toFloat32Operation, ({ narrow, x }, { read, write, itemOf, emit }) =>
    emit({
      kernel: "toFloat32",
      domain: undefined,
      grain: 1,
      operands: { narrow: read(narrow, "share"), x: write(x, "share") },
      words: { item: itemOf(x), all: sizeOf(x.shape) },
      repeated: true,
    }),
  ),
];
