// Question: which experts does a token go to, and with which weights (DeepSeek-V3, arXiv 2412.19437, eq. 12 to 16)?
//
//   chosen = the k experts with the largest s_e + b_e,   w_j = scale · s_j / (Σ over the chosen of s + 1e-20)
//   ds_j = (scale · g_j − Σ_i g_i w_i) / (Σ s + 1e-20) for the chosen, 0 for the others
//
// Without the division w_j = scale · s_j and ds_j = scale · g_j. Over a single expert the divided weight would be the
// scale whatever the score is: its gradient would be rounding noise, which Adam makes full steps of. So with k = 1 the
// default is not to divide, as in DeepSeek's own code. A row with a NaN has weights of NaN; its experts are the first.
//
// The bias b balances the load. It affects which experts are chosen but not their weights, so it has no gradient. The
// chosen experts come in descending order of s + b; of equal ones, the earlier comes first.
// Shapes: scores [N, E], bias [E], weights [N, k], experts i32 [N, k].

import { expectFields } from "../basics/fields.ts";
import { apply, f32, lastAxis, type Operation, rowCount, sizeOf, type Tensor } from "../graph/tensor.ts";
import { concat } from "./concat.ts";
import { add, multiply, negate, reciprocal, scale as times, shift, subtract } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { expectIndex } from "./indices.ts";
import { oneHot, positions, scaleRows } from "./masks.ts";
import { maxLast } from "./max-last.ts";
import { broadcast, broadcastLast, sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { select } from "./select.ts";
import { expectShapes } from "./shapes.ts";
import { toIndices } from "./to-indices.ts";
import { transpose } from "./permute.ts";

export interface ExpertChoiceAttributes {
  /** k: the number of experts that a token goes to. */
  readonly active: number;
  /** The sum of the weights of a token; what their scores are multiplied by where they are not divided. */
  readonly scale: number;
  /** Whether the weights are divided by the sum of the chosen scores. */
  readonly normalise: boolean;
}

const EPSILON = 1e-20;

export const expertChoiceOperation: Operation<["scores", "bias"], ["weights", "chosen"], ExpertChoiceAttributes> = {
  name: "expertChoice",
  inputs: ["scores", "bias"],
  outputs: ["weights", "chosen"],
  infer({ scores, bias }, { active }) {
    expectShapes(
      scores.shape.length === 2 && bias.shape.length === 1 && bias.shape[0] === scores.shape[1],
      "expertChoice",
      { scores, bias },
      "scores must be [N, E] and the bias [E].",
    );
    const [tokens, experts] = [rowCount(scores.shape), lastAxis(scores.shape)];
    expectShapes(
      Number.isInteger(active) && active >= 1 && active <= experts,
      "expertChoice",
      { scores, bias },
      `a token goes to 1 to ${experts} experts, not ${active}.`,
    );
    return { weights: f32(tokens, active), chosen: { shape: [tokens, active], dtype: "i32" } };
  },
  gradient: ({ scores, weights, chosen }, { weights: g }, attributes) =>
    g ? { scores: apply(expertChoiceBackwardOperation, { scores, chosen, weights, g }, attributes).dScores } : {},
  flops: ({ scores }, { active }) => active * sizeOf(scores.shape),
  reference({ scores, bias }, { weights, chosen }, { active, scale, normalise }) {
    const experts = lastAxis(scores.shape);
    for (let n = 0; n < rowCount(scores.shape); n++) {
      const order = Array.from({ length: experts }, (_, e) => e);
      const unknown = order.some((e) => Number.isNaN(scores.at(n, e) + bias.at(e)));
      if (!unknown) order.sort((a, b) => scores.at(n, b) + bias.at(b) - (scores.at(n, a) + bias.at(a)) || a - b);
      const best = order.slice(0, active);
      const sum = normalise ? best.reduce((total, e) => total + scores.at(n, e), EPSILON) : 1;
      for (const [j, e] of best.entries()) {
        chosen.set(n, j, e);
        weights.set(n, j, unknown ? Number.NaN : (scale * scores.at(n, e)) / sum);
      }
    }
  },
  compose({ scores, bias }, { active, scale, normalise }) {
    let left = add(scores, broadcast(bias, scores.shape));
    const chosen = toIndices(
      concat(
        Array.from({ length: active }, () => {
          const best = firstLargest(left);
          // An expert that was chosen is pushed far below the others.
          left = subtract(left, times(oneHot(toIndices(best), lastAxis(scores.shape)), CHOSEN));
          return reshape(best, [rowCount(scores.shape), 1]);
        }),
        1,
      ),
    );
    const s = ofChosen(scores, chosen);
    if (!normalise) return { weights: times(s, scale), chosen };
    return { weights: times(scaleRows(s, reciprocal(shift(sumLast(s), EPSILON))), scale), chosen };
  },
};

export const expertChoiceBackwardOperation: Operation<
  ["scores", "chosen", "weights", "g"],
  ["dScores"],
  ExpertChoiceAttributes
> = {
  name: "expertChoiceBackward",
  inputs: ["scores", "chosen", "weights", "g"],
  outputs: ["dScores"],
  infer: ({ scores }) => ({ dScores: f32(...scores.shape) }),
  flops: ({ weights }) => 6 * sizeOf(weights.shape),
  reference({ scores, chosen, weights, g }, { dScores }, { active, scale, normalise }) {
    const slots = Array.from({ length: active }, (_, j) => j);
    for (let n = 0; n < rowCount(scores.shape); n++) {
      for (const j of slots)
        expectIndex("expertChoiceBackward", chosen.at(n, j), n * active + j, lastAxis(scores.shape));
      const sum = normalise ? slots.reduce((total, j) => total + scores.at(n, chosen.at(n, j)), EPSILON) : 1;
      const along = normalise ? slots.reduce((total, j) => total + g.at(n, j) * weights.at(n, j), 0) : 0;
      for (const j of slots) dScores.set(n, chosen.at(n, j), (scale * g.at(n, j) - along) / sum);
    }
  },
  compose({ scores, chosen, weights, g }, { active, scale, normalise }) {
    const placedAt = (ds: Tensor): Tensor =>
      // Each slot's gradient at its expert, added up over the slots.
      sumLast(transpose(scaleRows(oneHot(chosen, lastAxis(scores.shape)), ds)));
    if (!normalise) return { dScores: placedAt(times(g, scale)) };
    const sum = shift(sumLast(ofChosen(scores, chosen)), EPSILON);
    const along = broadcastLast(sumLast(multiply(g, weights)), active);
    return { dScores: placedAt(scaleRows(subtract(times(g, scale), along), reciprocal(sum))) };
  },
};

/** More than any difference of scores and biases. */
const CHOSEN = 1e9;

/** The index of the largest entry of each row, the first if several are equal: [N, E] → numbers [N]. */
function firstLargest(x: Tensor): Tensor {
  const E = lastAxis(x.shape);
  const below = subtract(broadcastLast(maxLast(x), E), x);
  // E − e where x is the largest, −1 elsewhere: the largest of these is the first.
  const early = broadcast(shift(negate(positions(E)), E), x.shape);
  return shift(negate(maxLast(select(below, fill(x.shape, -1), early))), E);
}

/** The scores of the chosen experts: [N, k]. */
function ofChosen(scores: Tensor, chosen: Tensor): Tensor {
  const mask = oneHot(chosen, lastAxis(scores.shape));
  const repeated = transpose(broadcastLast(scores, lastAxis(chosen.shape)));
  return sumLast(multiply(mask, repeated));
}

/**
 * Choose k experts for every token.
 *
 * @param scores [N, E], not negative, for instance from a sigmoid
 * @param bias [E], added to the scores only for the choice; it has no gradient
 * @param options how many experts a token goes to, the sum of its weights (default 1), and whether its scores are
 *   divided by their sum (default: unless it goes to a single expert, whose score would then get no gradient)
 * @returns weights [N, k] and experts i32 [N, k], best first
 * @throws ShapeError when scores and bias do not fit, or there are fewer experts than should be chosen
 */
export function chooseExperts(
  scores: Tensor,
  bias: Tensor,
  options: { active: number; scale?: number; normalise?: boolean },
): { weights: Tensor; experts: Tensor } {
  expectFields("chooseExperts", options, { active: "number", scale: "number", normalise: "flag" });
  const { active, scale = 1, normalise = active > 1 } = options;
  const { weights, chosen } = apply(expertChoiceOperation, { scores, bias }, { active, scale, normalise });
  return { weights, experts: chosen };
}
