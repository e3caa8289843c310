// Question: what is the cross-entropy of each row of logits against a target?
//
//   lse = log Σ_v e^(x_v),  loss = lse − x_target
//   dx_v = softmax(x)_v · (g_loss + g_lse) − [v = target] · g_loss
//
// lse is a second output. The backward pass rebuilds the softmax from it with one exponential per element, in place
// of the logits. A penalty on lse (z-loss) therefore costs nothing more.
// Shapes: logits [..., V], targets i32 [...], loss and lse [...].

import { apply, lastAxis, type Operation, sameShape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { add, exp, multiply, subtract } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { expectIndex } from "./indices.ts";
import { oneHot, scaleRows } from "./masks.ts";
import { broadcastLast, sumLast } from "./reductions.ts";
import { expectShapes } from "./shapes.ts";
import { composedLogSumExp, logSumExp } from "./softmax.ts";

export const crossEntropyOperation: Operation<["logits", "targets"], ["loss", "lse"]> = {
  name: "crossEntropy",
  inputs: ["logits", "targets"],
  outputs: ["loss", "lse"],
  infer({ logits, targets }) {
    expectShapes(
      targets.dtype === "i32" && logits.dtype === "f32",
      "crossEntropy",
      { logits, targets },
      `logits must be f32 and targets i32, not ${logits.dtype} and ${targets.dtype}.`,
    );
    expectShapes(
      logits.shape.length >= 1 && sameShape(logits.shape.slice(0, -1), targets.shape),
      "crossEntropy",
      { logits, targets },
      "there must be one target for each row of logits.",
    );
    return { loss: { shape: targets.shape, dtype: "f32" }, lse: { shape: targets.shape, dtype: "f32" } };
  },
  gradient({ logits, targets, lse }, { loss: gLoss, lse: gLse }) {
    const g = gLoss ?? fill(lse.shape, 0);
    const s = gLse ? add(g, gLse) : g;
    return { logits: apply(crossEntropyBackwardOperation, { logits, targets, lse, g, s }).dlogits };
  },
  flops: ({ logits }) => 13 * sizeOf(logits.shape),
  reference({ logits, targets }, { loss, lse }) {
    const V = lastAxis(logits.shape);
    targets.data.forEach((target, row) => {
      expectIndex("crossEntropy", target, row, V);
      const { largest, log } = logSumExp(logits.data.subarray(row * V, (row + 1) * V));
      lse.set(row, largest + log);
      loss.set(row, largest - logits.at(row, target) + log);
    });
  },
  compose({ logits, targets }) {
    const lse = composedLogSumExp(logits);
    const ofTarget = sumLast(multiply(logits, oneHot(targets, lastAxis(logits.shape))));
    return { loss: subtract(lse, ofTarget), lse };
  },
};

/** g: gradient of the loss; s: that plus the gradient of lse. */
export const crossEntropyBackwardOperation: Operation<["logits", "targets", "lse", "g", "s"], ["dlogits"]> = {
  name: "crossEntropyBackward",
  inputs: ["logits", "targets", "lse", "g", "s"],
  outputs: ["dlogits"],
  infer: ({ logits }) => ({ dlogits: { shape: logits.shape, dtype: "f32" } }),
  flops: ({ dlogits }) => 13 * sizeOf(dlogits.shape),
  reference({ logits, targets, lse, g, s }, { dlogits }) {
    targets.data.forEach((target, row) => {
      expectIndex("crossEntropyBackward", target, row, lastAxis(logits.shape));
      for (let v = 0; v < lastAxis(logits.shape); v++)
        dlogits.set(row, v, Math.exp(logits.at(row, v) - lse.at(row)) * s.at(row));
      dlogits.add(row, target, -g.at(row));
    });
  },
  compose({ logits, targets, lse, g, s }) {
    const V = lastAxis(logits.shape);
    const softmax = exp(subtract(logits, broadcastLast(lse, V)));
    return { dlogits: subtract(scaleRows(softmax, s), scaleRows(oneHot(targets, V), g)) };
  },
};

/**
 * Cross-entropy of each row, in nats: log Σ_v e^(x_v) − x_target. To leave a row out, multiply its loss by 0.
 *
 * @param logits [..., V]
 * @param targets i32 [...], each in [0, V)
 * @returns the loss of each row [...]
 * @throws ShapeError unless there is one i32 target for each row
 */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return apply(crossEntropyOperation, { logits, targets }).loss;
}

/** crossEntropy together with the log-sum-exp of each row of logits, [...] each. */
export function crossEntropyWithLogSumExp(logits: Tensor, targets: Tensor): { loss: Tensor; logSumExp: Tensor } {
  const { loss, lse } = apply(crossEntropyOperation, { logits, targets });
  return { loss, logSumExp: lse };
}
