// Question: how unevenly does a sequence use its experts?
//
//   L_b = Σ_e f_e P_e,  f_e = E / (k T) · pairs of e,  P_e = 1/T Σ_t s_te / Σ_j s_tj  (arXiv 2412.19437, eq. 17 to 20)
//   ds_te = g_b / T · (f_e − Σ_j f_j p_tj) / Σ_j s_tj  with p_te = s_te / Σ_j s_tj
//
// This is one loss for each sequence of T tokens. How often an expert was chosen counts as a constant.
// Shapes: scores [B·T, E], chosen i32 [B·T, k], L [B].

import { apply, f32, lastAxis, type Operation, rowCount, sizeOf, type Tensor, Values } from "../graph/tensor.ts";
import { multiply, reciprocal, scale, subtract } from "./elementwise.ts";
import { expectIndex } from "./indices.ts";
import { oneHot, scaleRows } from "./masks.ts";
import { transpose } from "./permute.ts";
import { broadcastLast, sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";

export interface SequenceBalanceAttributes {
  /** T: tokens of a sequence. */
  readonly length: number;
}

export const sequenceBalanceOperation: Operation<["scores", "chosen"], ["loss"], SequenceBalanceAttributes> = {
  name: "sequenceBalance",
  inputs: ["scores", "chosen"],
  outputs: ["loss"],
  infer({ scores, chosen }, { length }) {
    expectShapes(
      scores.shape.length === 2 &&
        chosen.shape.length === 2 &&
        scores.shape[0] === chosen.shape[0] &&
        chosen.dtype === "i32" &&
        rowCount(scores.shape) % length === 0,
      "sequenceBalance",
      { scores, chosen },
      `scores must be [B · T, E] and the chosen experts i32 [B · T, k], in whole sequences of T = ${length} tokens.`,
    );
    return { loss: f32(rowCount(scores.shape) / length) };
  },
  gradient: ({ scores, chosen }, { loss: g }, attributes) => ({
    scores: apply(sequenceBalanceBackwardOperation, { scores, chosen, g }, attributes).dScores,
  }),
  flops: ({ scores }) => 4 * sizeOf(scores.shape),
  reference({ scores, chosen }, { loss }, { length }) {
    for (let b = 0; b < loss.size; b++) {
      const f = frequencies("sequenceBalance", chosen, b, length, lastAxis(scores.shape));
      for (let t = b * length; t < (b + 1) * length; t++) {
        const sum = rowSum(scores, t);
        f.forEach((f_e, e) => loss.add(b, (f_e * scores.at(t, e)) / sum / length));
      }
    }
  },
  compose({ scores, chosen }, { length }) {
    const shares = scaleRows(scores, reciprocal(sumLast(scores)));
    const along = sumLast(multiply(shares, composedFrequencies(chosen, length, lastAxis(scores.shape))));
    return { loss: scale(sumLast(reshape(along, [sizeOf(along.shape) / length, length])), 1 / length) };
  },
};

export const sequenceBalanceBackwardOperation: Operation<
  ["scores", "chosen", "g"],
  ["dScores"],
  SequenceBalanceAttributes
> = {
  name: "sequenceBalanceBackward",
  inputs: ["scores", "chosen", "g"],
  outputs: ["dScores"],
  infer: ({ scores }) => ({ dScores: f32(...scores.shape) }),
  flops: ({ scores }) => 6 * sizeOf(scores.shape),
  reference({ scores, chosen, g }, { dScores }, { length }) {
    for (let b = 0; b < g.size; b++) {
      const f = frequencies("sequenceBalanceBackward", chosen, b, length, lastAxis(scores.shape));
      for (let t = b * length; t < (b + 1) * length; t++) {
        const sum = rowSum(scores, t);
        const along = f.reduce((total, f_e, e) => total + (f_e * scores.at(t, e)) / sum, 0);
        f.forEach((f_e, e) => dScores.set(t, e, ((g.at(b) / length) * (f_e - along)) / sum));
      }
    }
  },
  compose({ scores, chosen, g }, { length }) {
    const perSum = reciprocal(sumLast(scores));
    const f = composedFrequencies(chosen, length, lastAxis(scores.shape));
    const along = sumLast(multiply(f, scaleRows(scores, perSum)));
    const ofTokens = reshape(broadcastLast(scale(g, 1 / length), length), along.shape);
    const difference = subtract(f, broadcastLast(along, lastAxis(scores.shape)));
    return { dScores: scaleRows(difference, multiply(ofTokens, perSum)) };
  },
};

/** f of one sequence: how often each expert was chosen, 1 on average. */
function frequencies(
  operation: string,
  chosen: Values,
  sequence: number,
  length: number,
  experts: number,
): Float64Array {
  const pairs = lastAxis(chosen.shape) * length;
  const f = new Values([experts]);
  for (let pair = sequence * pairs; pair < (sequence + 1) * pairs; pair++) {
    expectIndex(operation, chosen.at(pair), pair, experts);
    f.add(chosen.at(pair), experts / pairs);
  }
  return f.data;
}

/** f by operations, of the sequence of each token: [B · T, E]. */
function composedFrequencies(chosen: Tensor, length: number, experts: number): Tensor {
  const [tokens, active] = [rowCount(chosen.shape), lastAxis(chosen.shape)];
  const sequences = tokens / length;
  const pairs = reshape(oneHot(chosen, experts), [sequences, length * active, experts]);
  const f = scale(sumLast(transpose(pairs)), experts / (length * active));
  return reshape(transpose(broadcastLast(f, length)), [tokens, experts]);
}

function rowSum(x: Values, row: number): number {
  let sum = 0;
  for (let c = 0; c < lastAxis(x.shape); c++) sum += x.at(row, c);
  return sum;
}

/**
 * How unevenly a sequence uses the experts: 1 if it uses all evenly, E / k if it always uses the same k.
 *
 * @param scores [B · T, E], positive
 * @param experts i32 [B · T, k] from `chooseExperts`
 * @param length T
 * @returns [B]
 */
export function sequenceBalance(scores: Tensor, experts: Tensor, length: number): Tensor {
  return apply(sequenceBalanceOperation, { scores, chosen: experts }, { length }).loss;
}
