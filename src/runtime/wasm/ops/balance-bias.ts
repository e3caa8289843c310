// Question: how does the CPU move the biases that balance the experts?

import { sizeOf } from "../../../graph/tensor.ts";
import { balanceBiasOperation } from "../../../ops/balance-bias.ts";
import { type Implementation, implement } from "../implement.ts";

export const balanceBias: readonly Implementation[] = [
  implement(balanceBiasOperation, ({ bias, load, clip, next }, { read, write, emit }, { rate }) =>
    emit({
      kernel: "balanceBias",
      domain: 1,
      grain: 1,
      operands: {
        bias: read(bias, "whole"),
        load: read(load, "whole"),
        clip: read(clip, "whole"),
        next: write(next, "whole"),
      },
      words: { E: sizeOf(next.shape), rate },
    }),
  ),
];
