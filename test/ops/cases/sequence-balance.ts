// One token and several sequences.

import { sequenceBalance } from "../../../src/ops/sequence-balance.ts";
import type { OperationCase } from "../case.ts";
import { chosen, scores } from "./mixtures.ts";

function sequenceCase(sequences: number, length: number, experts: number, active: number): OperationCase {
  return {
    name: `sequenceBalance of ${sequences} sequences of ${length}, ${active} of ${experts}`,
    inputs: {
      scores: scores([sequences * length, experts]),
      chosen: chosen(sequences * length, active, (draw) => Math.floor(draw * experts)),
    },
    build: ({ scores, chosen }) => sequenceBalance(scores!, chosen!, length),
  };
}

export const sequenceBalanceCases: readonly OperationCase[] = [sequenceCase(1, 1, 1, 1), sequenceCase(3, 17, 5, 2)];
