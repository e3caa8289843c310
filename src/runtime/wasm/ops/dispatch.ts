// Question: how does the CPU sort pairs of tokens and experts?

import { sizeOf } from "../../../graph/tensor.ts";
import { dispatchOperation } from "../../../ops/dispatch.ts";
import { type Implementation, implement } from "../implement.ts";

export const dispatch: readonly Implementation[] = [
  implement(dispatchOperation, ({ chosen, order, position, offsets, load }, { read, write, emit }, { experts }) =>
    emit({
      kernel: "dispatch",
      domain: 1,
      grain: 1,
      operands: {
        chosen: read(chosen, "whole"),
        order: write(order, "whole"),
        position: write(position, "whole"),
        offsets: write(offsets, "whole"),
        load: write(load, "whole"),
      },
      words: { pairs: sizeOf(chosen.shape), experts },
    }),
  ),
];
