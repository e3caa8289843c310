// Cross-entropy of each row of logits against a target.
//
//   lse = log Σ_v e^(x_v),  loss = lse − x_target
//   dx_v = softmax(x)_v · (g_loss + g_lse) − [v = target] · g_loss
//
// lse is a second output: the backward pass rebuilds the softmax from it with one exponential an
// element and writes over the logits, and a penalty on lse (z-loss) costs nothing more.
// Shapes: logits [..., V], targets i32 [...], loss and lse [...].

import {
  applyAll,
  applyOne,
  lastAxis,
  type Operation,
  positional,
  sameShape,
  sizeOf,
  type Tensor,
} from "../graph/tensor.ts";
import { add } from "./elementwise.ts";
import { fill } from "./fill.ts";
import { expectIndex } from "./indices.ts";
import { expectShapes } from "./shapes.ts";
import { logSumExp } from "./softmax.ts";

export const crossEntropyOperation: Operation<["logits", "targets"], ["loss", "lse"]> = positional<
  ["logits", "targets"],
  ["loss", "lse"],
  unknown
>({
  name: "crossEntropy",
  inputs: ["logits", "targets"],
  outputs: ["loss", "lse"],
  infer([logits, targets]) {
    expectShapes(
      targets!.dtype === "i32" && logits!.dtype === "f32",
      "crossEntropy",
      { logits: logits!, targets: targets! },
      `logits must be f32 and targets i32, not ${logits!.dtype} and ${targets!.dtype}.`,
    );
    expectShapes(
      logits!.shape.length >= 1 && sameShape(logits!.shape.slice(0, -1), targets!.shape),
      "crossEntropy",
      { logits: logits!, targets: targets! },
      "there must be one target for each row of logits.",
    );
    return [
      { shape: targets!.shape, dtype: "f32" },
      { shape: targets!.shape, dtype: "f32" },
    ];
  },
  gradient({ inputs: [logits, targets], outputs: [, lse] }, [gLoss, gLse]) {
    const g = gLoss ?? fill(lse!.shape, 0);
    const s = gLse ? add(g, gLse) : g;
    return [applyOne(crossEntropyBackwardOperation, [logits!, targets!, lse!, g, s], {}), undefined];
  },
  flops: (node) => 13 * sizeOf(node.inputs[0]!.shape),
  reference([logits, targets], [loss, lse]) {
    const size = lastAxis(logits!.shape);
    targets!.data.forEach((target, row) => {
      expectIndex("crossEntropy", target, row, size);
      const x = logits!.data.subarray(row * size, (row + 1) * size);
      lse!.data[row] = logSumExp(x);
      loss!.data[row] = lse!.data[row] - x[target]!;
    });
  },
});

/** (logits, targets, lse, gradient of loss, that plus the gradient of lse) → gradient of logits. */
export const crossEntropyBackwardOperation: Operation<["logits", "targets", "lse", "g", "s"], ["dlogits"]> = positional<
  ["logits", "targets", "lse", "g", "s"],
  ["dlogits"],
  unknown
>({
  name: "crossEntropyBackward",
  inputs: ["logits", "targets", "lse", "g", "s"],
  outputs: ["dlogits"],
  infer: ([logits]) => [{ shape: logits!.shape, dtype: "f32" }],
  flops: (node) => 13 * sizeOf(node.outputs[0]!.shape),
  reference([logits, targets, lse, g, s], [dx]) {
    const size = lastAxis(logits!.shape);
    targets!.data.forEach((target, row) => {
      expectIndex("crossEntropyBackward", target, row, size);
      for (let v = 0; v < size; v++) {
        dx!.data[row * size + v] = Math.exp(logits!.data[row * size + v]! - lse!.data[row]!) * s!.data[row]!;
      }
      dx!.data[row * size + target]! -= g!.data[row]!;
    });
  },
});

/**
 * Cross-entropy of each row, in nats: log Σ_v e^(x_v) − x_target. To leave a row out, multiply its loss by 0.
 *
 * @param logits [..., V]
 * @param targets i32 [...], each in [0, V)
 * @returns the loss of each row [...]
 * @throws ShapeError unless there is one i32 target for each row
 */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return applyOne(crossEntropyOperation, [logits, targets], {});
}

/** crossEntropy together with the log-sum-exp of each row of logits, [...] each. */
export function crossEntropyWithLogSumExp(logits: Tensor, targets: Tensor): { loss: Tensor; logSumExp: Tensor } {
  const [loss, lse] = applyAll(crossEntropyOperation, [logits, targets], {}) as [Tensor, Tensor];
  return { loss, logSumExp: lse };
}
