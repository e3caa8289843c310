// Question: how does the choice of experts learn to keep them equally busy?
//
//   b'_e = b_e + rate · sign(mean load − load_e)              (arXiv 2408.15664, 2412.19437 §2.1.2)
//
// This update runs after a step, without a gradient: an expert with too many tokens is then chosen less. A step that
// is skipped because its gradients have no finite norm leaves the bias unchanged.
// Shapes: bias, load [E]; clip [2] from clipScale().

import { apply, f32, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { add, multiply, negate, scale, subtract } from "./elementwise.ts";
import { entry, finite, positive } from "./masks.ts";
import { broadcast, mean } from "./reductions.ts";
import { expectShapes } from "./shapes.ts";

export interface BalanceBiasAttributes {
  /** How far a bias moves in a step. */
  readonly rate: number;
}

export const balanceBiasOperation: Operation<["bias", "load", "clip"], ["next"], BalanceBiasAttributes> = {
  name: "balanceBias",
  inputs: ["bias", "load", "clip"],
  outputs: ["next"],
  infer({ bias, load, clip }) {
    expectShapes(
      bias.shape.length === 1 && load.shape.length === 1 && bias.shape[0] === load.shape[0],
      "balanceBias",
      { bias, load },
      "bias and load must be [E].",
    );
    expectShapes(
      clip.shape.length === 1 && clip.shape[0] === 2,
      "balanceBias",
      { clip },
      "clip must be [2]: norm and factor, from clipScale().",
    );
    return { next: f32(...bias.shape) };
  },
  flops: ({ bias }) => 4 * sizeOf(bias.shape),
  reference({ bias, load, clip }, { next }, { rate }) {
    const mean = load.data.reduce((sum, x) => sum + x, 0) / load.size;
    const moved = Number.isFinite(clip.at(0)) ? rate : 0;
    next.each((e) => bias.at(e) + moved * Math.sign(mean - load.at(e)));
  },
  compose({ bias, load, clip }, { rate }) {
    const below = subtract(broadcast(mean(load), load.shape), load);
    const sign = subtract(positive(below), positive(negate(below)));
    const taken = finite(entry(clip, 0, bias.shape));
    return { next: add(bias, scale(multiply(taken, sign), rate)) };
  },
};

/**
 * The bias of the experts for the next step.
 *
 * @param bias [E]
 * @param load [E]: how many tokens each expert got
 * @param clip [2] from `clipScale`: if its norm is not finite, the bias stays unchanged
 * @param rate how far a bias moves in a step in a step
 */
export function balanceBias(bias: Tensor, load: Tensor, clip: Tensor, rate: number): Tensor {
  return apply(balanceBiasOperation, { bias, load, clip }, { rate }).next;
}
