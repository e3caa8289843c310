// Products of experts, and whole sublayers of them.

import { apply, type Tensor } from "../../../src/graph/tensor.ts";
import { type Dispatch, dispatch } from "../../../src/ops/dispatch.ts";
import { add } from "../../../src/ops/elementwise.ts";
import { chooseExperts } from "../../../src/ops/expert-choice.ts";
import { expertMatmul, expertOuterOperation } from "../../../src/ops/expert-matmul.ts";
import { expertRows } from "../../../src/ops/expert-rows.ts";
import { expertSum } from "../../../src/ops/expert-sum.ts";
import { swiglu } from "../../../src/ops/swiglu.ts";
import type { OperationCase } from "../case.ts";
import { type Mixture, mixtureInputs, mixtures, scores, show } from "./mixtures.ts";

export function expertProductCase(mixture: Mixture, transposed: boolean): OperationCase {
  const { tokens, experts, active, channels, hidden } = mixture;
  return {
    name: `expertMatmul${transposed ? " transposed" : ""}, ${show(mixture)}`,
    inputs: {
      ...mixtureInputs(mixture),
      x: { shape: [tokens * active, channels] },
      w: { shape: transposed ? [experts, hidden, channels] : [experts, channels, hidden] },
    },
    // Twice, so that the gradients are sums as well.
    build({ chosen, x, w }) {
      const { offsets } = dispatch(chosen!, experts);
      return add(expertMatmul(x!, w!, offsets, { transposed }), expertMatmul(x!, w!, offsets, { transposed }));
    },
  };
}

function outerCase(mixture: Mixture): OperationCase {
  const { tokens, experts, active, channels, hidden } = mixture;
  return {
    name: `expertOuter, ${show(mixture)}`,
    inputs: {
      ...mixtureInputs(mixture),
      a: { shape: [tokens * active, channels] },
      b: { shape: [tokens * active, hidden] },
    },
    build: ({ chosen, a, b }) =>
      apply(expertOuterOperation, { a: a!, b: b!, offsets: dispatch(chosen!, experts).offsets }).weights,
  };
}

/**
 * The whole sublayer, from the scores: choice, dispatch, two products, the way back. The gradients of the
 * weights gather the rows of tokens themselves, with the weights of the way back; transposed, on the other side.
 */
function mixtureCase(mixture: Mixture, transposed = false): OperationCase {
  const { tokens, experts, active, channels, hidden } = mixture;
  return {
    name: `mixture of experts${transposed ? " transposed" : ""}, ${show(mixture)}`,
    inputs: {
      scores: scores([tokens, experts]),
      bias: { shape: [experts] },
      x: { shape: [tokens, channels] },
      gateUp: { shape: transposed ? [experts, 2 * hidden, channels] : [experts, channels, 2 * hidden] },
      down: { shape: transposed ? [experts, channels, hidden] : [experts, hidden, channels] },
    },
    constant: ["bias"],
    build({ scores, bias, x, gateUp, down }) {
      const choice = chooseExperts(scores!, bias!, { active });
      const sent: Dispatch = dispatch(choice.experts, experts);
      const apply = (rows: Tensor): Tensor =>
        expertMatmul(swiglu(expertMatmul(rows, gateUp!, sent.offsets, { transposed })), down!, sent.offsets, {
          transposed,
        });
      return expertSum(apply(expertRows(x!, sent)), sent, choice.weights);
    },
  };
}

export const expertMatmulCases: readonly OperationCase[] = [
  ...mixtures.flatMap((mixture) => [
    expertProductCase(mixture, false),
    expertProductCase(mixture, true),
    outerCase(mixture),
  ]),
  ...mixtures.slice(0, 3).flatMap((mixture) => [mixtureCase(mixture), mixtureCase(mixture, true)]),
];
