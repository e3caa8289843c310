// What keeps the experts equally busy?
//
//   balanceBias      b'_e = b_e + rate · sign(mean load − load_e)              (arXiv 2408.15664, 2412.19437 §2.1.2)
//   sequenceBalance  L_b = Σ_e f_e P_e,  f_e = E / (k T) · pairs of e,  P_e = 1/T Σ_t s_te / Σ_j s_tj  (eq. 17 to 20)
//                    ds_te = g_b / T · (f_e − Σ_j f_j p_tj) / Σ_j s_tj  with p_te = s_te / Σ_j s_tj
//
// The first is an update after a step and has no gradient: an expert with too many tokens is chosen less.
// A step that is left out because its gradients have no finite norm leaves the bias as it is.
// The second is a loss for each sequence of T tokens; how often an expert was chosen is a constant in it.
// Shapes: bias, load [E]; clip [2] from clipScale(); scores [B·T, E], experts i32 [B·T, k], L [B].

import { apply, f32, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectIndex } from "./indices.ts";
import { expectShapes } from "./shapes.ts";

/** (bias, load, clip) → bias'. */
export const balanceBiasOperation: Operation<{ readonly rate: number }> = {
  name: "balanceBias",
  infer([bias, load, clip]) {
    expectShapes(
      bias!.shape.length === 1 && load!.shape.length === 1 && bias!.shape[0] === load!.shape[0],
      "balanceBias",
      { bias: bias!, load: load! },
      "bias and load must be [E].",
    );
    expectShapes(
      clip!.shape.length === 1 && clip!.shape[0] === 2,
      "balanceBias",
      { clip: clip! },
      "clip must be [2]: norm and factor, from clipScale().",
    );
    return [f32(...bias!.shape)];
  },
  flops: ({ inputs: [bias] }) => 4 * sizeOf(bias!.shape),
  reference([bias, load, clip], [next], { rate }) {
    const mean = load!.data.reduce((sum, x) => sum + x, 0) / load!.data.length;
    const moved = Number.isFinite(clip!.data[0]!) ? rate : 0;
    for (let e = 0; e < next!.data.length; e++)
      next!.data[e] = bias!.data[e]! + moved * Math.sign(mean - load!.data[e]!);
  },
};

export interface SequenceBalanceAttributes {
  /** T: tokens of a sequence. */
  readonly length: number;
}

/** (scores, experts) → L. */
export const sequenceBalanceOperation: Operation<SequenceBalanceAttributes> = {
  name: "sequenceBalance",
  infer([scores, chosen], { length }) {
    expectShapes(
      scores!.shape.length === 2 &&
        chosen!.shape.length === 2 &&
        scores!.shape[0] === chosen!.shape[0] &&
        chosen!.dtype === "i32" &&
        scores!.shape[0]! % length === 0,
      "sequenceBalance",
      { scores: scores!, chosen: chosen! },
      `scores must be [B · T, E] and the chosen experts i32 [B · T, k], in whole sequences of T = ${length} tokens.`,
    );
    return [f32(scores!.shape[0]! / length)];
  },
  gradient: ({ inputs: [scores, chosen], attributes }, [g]) => [
    apply(sequenceBalanceBackwardOperation, [scores!, chosen!, g!], attributes),
    undefined,
  ],
  flops: ({ inputs: [scores] }) => 4 * sizeOf(scores!.shape),
  reference([scores, chosen], [loss], { length }) {
    const experts = scores!.shape[1]!;
    for (let b = 0; b < loss!.data.length; b++) {
      const f = frequencies("sequenceBalance", chosen!, b, length, experts);
      for (let t = b * length; t < (b + 1) * length; t++) {
        const s = scores!.data.subarray(t * experts, (t + 1) * experts);
        const sum = s.reduce((total, x) => total + x, 0);
        for (let e = 0; e < experts; e++) loss!.data[b]! += (f[e]! * s[e]!) / sum / length;
      }
    }
  },
};

/** (scores, experts, g) → dscores. */
export const sequenceBalanceBackwardOperation: Operation<SequenceBalanceAttributes> = {
  name: "sequenceBalanceBackward",
  infer: ([scores]) => [f32(...scores!.shape)],
  flops: ({ inputs: [scores] }) => 6 * sizeOf(scores!.shape),
  reference([scores, chosen, g], [dScores], { length }) {
    const experts = scores!.shape[1]!;
    for (let b = 0; b < g!.data.length; b++) {
      const f = frequencies("sequenceBalanceBackward", chosen!, b, length, experts);
      for (let t = b * length; t < (b + 1) * length; t++) {
        const s = scores!.data.subarray(t * experts, (t + 1) * experts);
        const sum = s.reduce((total, x) => total + x, 0);
        const along = s.reduce((total, x, e) => total + (f[e]! * x) / sum, 0);
        for (let e = 0; e < experts; e++)
          dScores!.data[t * experts + e] = ((g!.data[b]! / length) * (f[e]! - along)) / sum;
      }
    }
  },
};

/** f of one sequence: how often each expert was chosen, 1 on average. */
function frequencies(
  operation: string,
  { data, shape }: { readonly data: Float64Array; readonly shape: readonly number[] },
  sequence: number,
  length: number,
  experts: number,
): Float64Array {
  const pairs = shape[1]! * length;
  const f = new Float64Array(experts);
  for (let pair = sequence * pairs; pair < (sequence + 1) * pairs; pair++) {
    const expert = data[pair]!;
    expectIndex(operation, expert, pair, experts);
    f[expert]! += experts / pairs;
  }
  return f;
}

/**
 * The bias of the experts for the next step.
 *
 * @param bias [E]
 * @param load [E]: how many tokens each expert got
 * @param clip [2] from `clipScale`: a norm that is not finite leaves the bias as it is
 * @param rate how far a bias moves
 */
export function balanceBias(bias: Tensor, load: Tensor, clip: Tensor, rate: number): Tensor {
  return apply(balanceBiasOperation, [bias, load, clip], { rate });
}

/**
 * How unevenly a sequence uses the experts: 1 when evenly, up to E / k when always the same.
 *
 * @param scores [B · T, E], positive
 * @param experts i32 [B · T, k] from `chooseExperts`
 * @param length T
 * @returns [B]
 */
export function sequenceBalance(scores: Tensor, experts: Tensor, length: number): Tensor {
  return apply(sequenceBalanceOperation, [scores, experts], { length });
}
