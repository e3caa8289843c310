// Question: how does the CPU bring the experts' results back to their tokens?

import { rowCount } from "../../../graph/tensor.ts";
import { expertSumBackwardOperation, expertSumOperation } from "../../../ops/expert-sum.ts";
import { ROW_TILE } from "../constants.ts";
import { type Implementation, implement } from "../implement.ts";
import { pairWords } from "./expert-rows.ts";

export const expertSum: readonly Implementation[] = [
  implement(expertSumOperation, ({ x, position, weights, y }, { read, write, emit }) =>
    emit({
      kernel: "expertSum",
      domain: rowCount(y.shape),
      grain: ROW_TILE,
      operands: {
        x: read(x, "whole"),
        position: read(position, "share"),
        weights: read(weights, "share"),
        y: write(y, "share"),
      },
      words: pairWords(position, x),
    }),
  ),
  implement(expertSumBackwardOperation, ({ x, order, weights, g, dx, dWeights }, { read, write, emit }) =>
    emit({
      kernel: "expertSumBackward",
      domain: rowCount(x.shape),
      grain: ROW_TILE,
      operands: {
        x: read(x, "share"),
        order: read(order, "share"),
        weights: read(weights, "whole"),
        g: read(g, "whole"),
        dx: write(dx, "share"),
        dWeights: write(dWeights, "whole"),
      },
      words: pairWords(weights, x),
      inPlace: { dx: "x" },
    }),
  ),
];
