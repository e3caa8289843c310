// Rows out and back: experts without tokens, more rows than a tile and no multiple of it.

import { dispatch } from "../../../src/ops/dispatch.ts";
import { expertRows } from "../../../src/ops/expert-rows.ts";
import { expertSum } from "../../../src/ops/expert-sum.ts";
import type { OperationCase } from "../case.ts";
import { type Mixture, mixtureInputs, mixtures, show } from "./mixtures.ts";

/** Rows out and back, with weights: dispatch, expertRows, expertSum and, in the gradient, tokenSum. */
function dispatchCase(mixture: Mixture): OperationCase {
  const { tokens, experts, active, channels } = mixture;
  return {
    name: `dispatch and back, ${show(mixture)}`,
    inputs: { ...mixtureInputs(mixture), x: { shape: [tokens, channels] }, weights: { shape: [tokens, active] } },
    build({ chosen, x, weights }) {
      const sent = dispatch(chosen!, experts);
      return [expertSum(expertRows(x!, sent), sent, weights!), sent.load];
    },
  };
}

export const expertSumCases: readonly OperationCase[] = mixtures.map(dispatchCase);
