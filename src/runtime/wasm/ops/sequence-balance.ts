// Question: how does the CPU measure how evenly a sequence uses the experts?
//
// A task per sequence.

import { lastAxis, rowCount, type Tensor } from "../../../graph/tensor.ts";
import { sequenceBalanceBackwardOperation, sequenceBalanceOperation } from "../../../ops/sequence-balance.ts";
import type { Words } from "../call.ts";
import { type Implementation, implement } from "../implement.ts";

function sizes(scores: Tensor, chosen: Tensor, length: number): Words<"sequenceBalance"> {
  return { length, E: lastAxis(scores.shape), k: lastAxis(chosen.shape) };
}

export const sequenceBalance: readonly Implementation[] = [
  implement(sequenceBalanceOperation, ({ scores, chosen, loss }, { read, write, emit }, { length }) =>
    emit({
      kernel: "sequenceBalance",
      domain: rowCount(scores.shape) / length,
      grain: 1,
      operands: { scores: read(scores, "share"), chosen: read(chosen, "share"), loss: write(loss, "share") },
      words: sizes(scores, chosen, length),
    }),
  ),
  implement(sequenceBalanceBackwardOperation, ({ scores, chosen, g, dScores }, { read, write, emit }, { length }) =>
    emit({
      kernel: "sequenceBalanceBackward",
      domain: rowCount(scores.shape) / length,
      grain: 1,
      operands: {
        scores: read(scores, "share"),
        chosen: read(chosen, "share"),
        g: read(g, "share"),
        dScores: write(dScores, "share"),
      },
      words: sizes(scores, chosen, length),
    }),
  ),
];
