// Question: how does the CPU sum rows with weights of each row's own?
//
// One call for any number of sources.

import { lastAxis, sizeOf, type Tensor } from "../../../graph/tensor.ts";
import { weightedSumBackwardOperation, weightedSumOperation } from "../../../ops/weighted-sum.ts";
import { ROW_TILE } from "../constants.ts";
import type { Words } from "../call.ts";
import { type Implementation, implement } from "../implement.ts";

function sizes(weights: Tensor, y: Tensor): { readonly rows: number; readonly words: Words<"weightedSum"> } {
  const [k, rows] = [lastAxis(weights.shape), weights.shape[0] ?? 1];
  return { rows, words: { k, C: sizeOf(y.shape) / rows } };
}

export const weightedSum: readonly Implementation[] = [
  implement(weightedSumOperation, ({ weights, sources, y }, { read, write, emit }) => {
    const { rows, words } = sizes(weights, y);
    emit({
      kernel: "weightedSum",
      domain: rows,
      grain: ROW_TILE,
      operands: {
        weights: read(weights, "share"),
        y: write(y, "share"),
        sources: sources.map((source) => read(source, "share")),
      },
      words,
    });
  }),
  implement(weightedSumBackwardOperation, ({ weights, g, sources, dWeights, dSources }, { read, write, emit }) => {
    const { rows, words } = sizes(weights, g);
    const gradients = dSources.map((gradient) => write(gradient, "share"));
    emit({
      kernel: "weightedSumBackward",
      domain: rows,
      grain: ROW_TILE,
      operands: {
        weights: read(weights, "share"),
        g: read(g, "share"),
        dWeights: write(dWeights, "share"),
        pairs: sources.flatMap((source, i) => [read(source, "share"), ...gradients.slice(i, i + 1)]),
      },
      words,
    });
  }),
];
