// A mixture of experts at odd sizes: one token, one expert, all experts active, experts without tokens,
// more rows than a tile and no multiple of it.

import type { Tensor } from "../../../src/graph/tensor.ts";
import { add } from "../../../src/ops/elementwise.ts";
import { type Dispatch, dispatch } from "../../../src/ops/dispatch.ts";
import { expertRows } from "../../../src/ops/expert-rows.ts";
import { expertSum } from "../../../src/ops/expert-sum.ts";
import { balanceBias } from "../../../src/ops/balance-bias.ts";
import { sequenceBalance } from "../../../src/ops/sequence-balance.ts";
import { chooseExperts } from "../../../src/ops/expert-choice.ts";
import { expertMatmul } from "../../../src/ops/expert-matmul.ts";
import { apply } from "../../../src/graph/tensor.ts";
import { expertOuterOperation } from "../../../src/ops/expert-matmul.ts";
import { swiglu } from "../../../src/ops/swiglu.ts";
import type { OperationCase } from "../case.ts";

type Inputs = OperationCase["inputs"];

/** Scores as a sigmoid gives them: between 0 and 1. */
const scores = (shape: readonly number[]): Inputs[string] => ({ shape, values: (random) => 0.02 + 0.96 * random() });

/** Experts for each token; which of them are used at all is up to `among`. */
const chosen = (tokens: number, active: number, among: (draw: number) => number): Inputs[string] => ({
  shape: [tokens, active],
  dtype: "i32",
  values: (random) => among(random()),
});

function choiceCase(tokens: number, experts: number, active: number, scale?: number): OperationCase {
  return {
    name: `expertChoice of ${active} among ${experts} for ${tokens} tokens`,
    inputs: { scores: scores([tokens, experts]), bias: { shape: [experts], values: (random) => 0.4 * random() } },
    constant: ["bias"],
    build: ({ scores, bias }) => chooseExperts(scores!, bias!, { active, ...(scale && { scale }) }).weights,
  };
}

interface Mixture {
  readonly tokens: number;
  readonly experts: number;
  readonly active: number;
  readonly channels: number;
  readonly hidden: number;
  readonly among?: (draw: number) => number;
}

function mixtureInputs({ tokens, experts, active, among }: Mixture): Inputs {
  return { chosen: chosen(tokens, active, among ?? ((draw) => Math.floor(draw * experts))) };
}

const show = ({ tokens, experts, active, channels, hidden }: Mixture): string =>
  `${tokens} tokens to ${active} of ${experts}, ${channels} to ${hidden} channels`;

/** Rows out and back, with weights: expertRows, expertSum and, in the gradient, tokenSum. */
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

function productCase(mixture: Mixture, transposed: boolean): OperationCase {
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

function balanceCase(experts: number, norm: number): OperationCase {
  return {
    name: `balanceBias of ${experts} experts, gradient norm ${norm}`,
    inputs: {
      bias: { shape: [experts] },
      // Expert 0 has the mean load exactly, where its bias stays.
      load: { shape: [experts], values: (_random, i) => 8 + (i % 3 === 1 ? 1 : i % 3 === 2 ? -1 : 0) },
      clip: { shape: [2], values: (_random, i) => (i === 0 ? norm : 1) },
    },
    constant: ["bias", "load", "clip"],
    build: ({ bias, load, clip }) => balanceBias(bias!, load!, clip!, 0.125),
  };
}

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

const one: Mixture = { tokens: 1, experts: 1, active: 1, channels: 5, hidden: 3 };
const few: Mixture = { tokens: 7, experts: 3, active: 3, channels: 9, hidden: 4 };
const many: Mixture = { tokens: 67, experts: 5, active: 2, channels: 19, hidden: 21 };
/** Experts 0, 2 and 6 have no tokens. */
const gaps: Mixture = {
  tokens: 50,
  experts: 7,
  active: 2,
  channels: 8,
  hidden: 16,
  among: (draw) => [1, 3, 4, 5][Math.floor(4 * draw)]!,
};
/** One expert has all tokens, more than one block of the weight gradient's sum. */
const crowded: Mixture = { tokens: 301, experts: 3, active: 1, channels: 33, hidden: 17, among: () => 1 };

export const expertCases: OperationCase[] = [
  choiceCase(1, 1, 1),
  choiceCase(3, 5, 5),
  choiceCase(51, 9, 2),
  choiceCase(97, 16, 4, 2.5),
  ...[one, few, many, gaps, crowded].flatMap((mixture) => [
    dispatchCase(mixture),
    productCase(mixture, false),
    productCase(mixture, true),
    outerCase(mixture),
  ]),
  ...[one, few, many].flatMap((mixture) => [mixtureCase(mixture), mixtureCase(mixture, true)]),
  balanceCase(1, 3),
  balanceCase(9, 3),
  balanceCase(9, Infinity),
  sequenceCase(1, 1, 1, 1),
  sequenceCase(3, 17, 5, 2),
];
