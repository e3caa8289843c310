// Which experts does a token go to, and with which weights (DeepSeek-V3, arXiv 2412.19437, eq. 12 to 16)?
//
//   chosen = the k experts with the largest s_e + b_e,   w_j = scale · s_j / (Σ over the chosen of s + 1e-20)
//   ds_j = (scale · g_j − Σ_i g_i w_i) / (Σ s + 1e-20) for the chosen, 0 for the others
//
// The bias b balances the load: it decides who is chosen and is no part of the weight, so it has no
// gradient. The chosen come in descending order of s + b; of equals the earlier expert is chosen.
// Shapes: scores [N, E], bias [E], weights [N, k], experts i32 [N, k].

import { applyAll, applyOne, f32, type Operation, positional, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectIndex } from "./indices.ts";
import { expectShapes } from "./shapes.ts";

export interface ExpertChoiceAttributes {
  /** k: experts a token goes to. */
  readonly active: number;
  /** What the weights of a token add up to. */
  readonly scale: number;
}

const EPSILON = 1e-20;

export const expertChoiceOperation: Operation<["scores", "bias"], ["weights", "chosen"], ExpertChoiceAttributes> =
  positional<["scores", "bias"], ["weights", "chosen"], ExpertChoiceAttributes>({
    name: "expertChoice",
    inputs: ["scores", "bias"],
    outputs: ["weights", "chosen"],
    infer([scores, bias], { active }) {
      const operands = { scores: scores!, bias: bias! };
      expectShapes(
        scores!.shape.length === 2 && bias!.shape.length === 1 && bias!.shape[0] === scores!.shape[1],
        "expertChoice",
        operands,
        "scores must be [N, E] and the bias [E].",
      );
      const [tokens, experts] = scores!.shape as [number, number];
      expectShapes(
        Number.isInteger(active) && active >= 1 && active <= experts,
        "expertChoice",
        operands,
        `a token goes to 1 to ${experts} experts, not ${active}.`,
      );
      return [f32(tokens, active), { shape: [tokens, active], dtype: "i32" }];
    },
    gradient: ({ inputs: [scores], outputs: [weights, experts], attributes }, [g]) => [
      g && applyOne(expertChoiceBackwardOperation, [scores!, experts!, weights!, g], attributes),
      undefined,
    ],
    flops: ({ inputs: [scores], attributes: { active } }) => active * sizeOf(scores!.shape),
    reference([scores, bias], [weights, chosen], { active, scale }) {
      const [tokens, experts] = scores!.shape as [number, number];
      for (let n = 0; n < tokens; n++) {
        const s = scores!.data.subarray(n * experts, (n + 1) * experts);
        const order = Array.from({ length: experts }, (_, e) => e);
        order.sort((a, b) => s[b]! + bias!.data[b]! - (s[a]! + bias!.data[a]!) || a - b);
        const best = order.slice(0, active);
        const sum = best.reduce((total, e) => total + s[e]!, EPSILON);
        for (const [j, e] of best.entries()) {
          chosen!.data[n * active + j] = e;
          weights!.data[n * active + j] = (scale * s[e]!) / sum;
        }
      }
    },
  });

/** (scores, experts, weights, g) → dscores. */
export const expertChoiceBackwardOperation: Operation<
  ["scores", "chosen", "weights", "g"],
  ["dScores"],
  ExpertChoiceAttributes
> = positional<["scores", "chosen", "weights", "g"], ["dScores"], ExpertChoiceAttributes>({
  name: "expertChoiceBackward",
  inputs: ["scores", "chosen", "weights", "g"],
  outputs: ["dScores"],
  infer: ([scores]) => [f32(...scores!.shape)],
  flops: ({ inputs: [, , weights] }) => 6 * sizeOf(weights!.shape),
  reference([scores, chosen, weights, g], [dScores], { active, scale }) {
    const [tokens, experts] = scores!.shape as [number, number];
    for (let n = 0; n < tokens; n++) {
      const slots = Array.from({ length: active }, (_, j) => n * active + j);
      const place = (slot: number): number => n * experts + chosen!.data[slot]!;
      for (const slot of slots) expectIndex("expertChoiceBackward", chosen!.data[slot]!, slot, experts);
      const sum = slots.reduce((total, slot) => total + scores!.data[place(slot)]!, EPSILON);
      const along = slots.reduce((total, slot) => total + g!.data[slot]! * weights!.data[slot]!, 0);
      for (const slot of slots) dScores!.data[place(slot)] = (scale * g!.data[slot]! - along) / sum;
    }
  },
});

/**
 * Choose k experts for every token.
 *
 * @param scores [N, E], not negative, as a sigmoid gives them
 * @param bias [E], added to the scores for the choice alone; no gradient reaches it
 * @param options how many experts a token goes to; what its weights add up to (default 1)
 * @returns weights [N, k] and experts i32 [N, k], best first
 * @throws ShapeError when scores and bias do not fit, or there are fewer experts than are to be chosen
 */
export function chooseExperts(
  scores: Tensor,
  bias: Tensor,
  { active, scale = 1 }: { active: number; scale?: number },
): { weights: Tensor; experts: Tensor } {
  const [weights, experts] = applyAll(expertChoiceOperation, [scores, bias], { active, scale }) as [Tensor, Tensor];
  return { weights, experts };
}
