// Question: how does the CPU join tensors?

import { sizeOf } from "../../../graph/tensor.ts";
import { concatOperation } from "../../../ops/concat.ts";
import { type Implementation, implement } from "../implement.ts";
import { alongAxis, copyDomain } from "./slice.ts";

export const concat: readonly Implementation[] = [
  implement(concatOperation, ({ parts, y }, { read, write, itemOf, emit }, { axis }) => {
    const { cut, ...domain } = copyDomain(y.shape, axis);
    emit({
      kernel: "concat",
      ...domain,
      operands: { y: write(y, "share"), parts: parts.map((part) => read(part, cut)) },
      words: {
        item: itemOf(y),
        all: sizeOf(y.shape),
        period: alongAxis(y.shape, axis).period,
        chunks: parts.map(({ shape }) => alongAxis(shape, axis).period),
      },
    });
  }),
];
