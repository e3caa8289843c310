// The projection that the coefficients of HC and mHC start from: RMS-normalised streams times a small
// matrix, with the norm's own weight absorbed into the matrix and the division done after the product
// (Eq. 14 to 16 of mHC, arXiv 2512.24880).
//
//   p = s · (x wᵀ),  s = 1 / sqrt(mean(x²) + epsilon)
//   draw = s · dp,  dx = draw · w − (s² / K) (Σ_m dp_m p_m) · x,  dw = drawᵀ · x
//
// A row of length K is one token's n·C entries together (mHC: `over` "token"), or one stream's C (HC:
// `over` "stream"). Shapes: x [..., n, C]; w [P, K]; p [..., P] or [..., n, P]; s as p with P = 1.

import {
  applyAll,
  type Operation,
  positional,
  type Shape,
  sizeOf,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
import { matmul } from "./matmul.ts";
import { expectShapes } from "./shapes.ts";
import { expectStreams, streamSizes } from "./streams.ts";
import { reshape } from "./reshape.ts";

export interface StreamProjectionAttributes {
  /** What is normalised and projected together. */
  readonly over: "token" | "stream";
  readonly epsilon: number;
}

/** Rows of length K and their number, for x [..., n, C]. */
export function projectionRows(
  x: { readonly shape: Shape },
  { over }: StreamProjectionAttributes,
): { rows: number; length: number } {
  const { tokens, streams, channels } = streamSizes(x);
  return over === "token" ? { rows: tokens, length: streams * channels } : { rows: tokens * streams, length: channels };
}

export const streamProjectionOperation: Operation<["x", "w"], ["p", "s"], StreamProjectionAttributes> = positional<
  ["x", "w"],
  ["p", "s"],
  StreamProjectionAttributes
>({
  name: "streamProjection",
  inputs: ["x", "w"],
  outputs: ["p", "s"],
  infer([x, w], attributes) {
    expectStreams("streamProjection", x!);
    const { length } = projectionRows(x!, attributes);
    expectShapes(
      w!.shape.length === 2 && w!.shape[1] === length,
      "streamProjection",
      { x: x!, weight: w! },
      `the weight must be [outputs, ${length}]: it projects ${attributes.over === "token" ? "all n·C entries of a token" : "the C channels of a stream"}.`,
    );
    const leading = x!.shape.slice(0, attributes.over === "token" ? -2 : -1);
    return [
      { shape: [...leading, w!.shape[0]!], dtype: "f32" },
      { shape: [...leading, 1], dtype: "f32" },
    ];
  },
  gradient({ inputs: [x, w], outputs: [p, s], attributes }, [dp]) {
    const [dx, draw] = applyAll(streamProjectionBackwardOperation, [x!, w!, p!, s!, dp!], attributes);
    const { length } = projectionRows(x!, attributes);
    const rows = reshape(x!, [...draw!.shape.slice(0, -1), length]);
    return [dx, matmul(draw!, rows, { transposeA: true })];
  },
  flops: (node) => projectionFlops(node) + 2 * sizeOf(node.inputs[0]!.shape),
  reference([x, w], [p, s], attributes) {
    const { rows, length: K } = projectionRows(x!, attributes);
    const P = w!.shape[0]!;
    for (let row = 0; row < rows; row++) {
      let squares = 0;
      for (let k = 0; k < K; k++) squares += x!.data[row * K + k]! ** 2;
      s!.data[row] = 1 / Math.sqrt(squares / K + attributes.epsilon);
      for (let m = 0; m < P; m++) {
        let raw = 0;
        for (let k = 0; k < K; k++) raw += x!.data[row * K + k]! * w!.data[m * K + k]!;
        p!.data[row * P + m] = s!.data[row]! * raw;
      }
    }
  },
});

/** (x, w, p, s, dp) → (dx, draw), draw being the gradient of x wᵀ. */
export const streamProjectionBackwardOperation: Operation<
  ["x", "w", "p", "s", "dp"],
  ["dx", "draw"],
  StreamProjectionAttributes
> = positional<["x", "w", "p", "s", "dp"], ["dx", "draw"], StreamProjectionAttributes>({
  name: "streamProjectionBackward",
  inputs: ["x", "w", "p", "s", "dp"],
  outputs: ["dx", "draw"],
  infer: ([x, , p]) => [
    { shape: x!.shape, dtype: "f32" },
    { shape: p!.shape, dtype: "f32" },
  ],
  flops: (node) => projectionFlops(node) + 2 * sizeOf(node.inputs[0]!.shape),
  reference([x, w, p, s, dp], [dx, draw], attributes) {
    const { rows, length: K } = projectionRows(x!, attributes);
    const P = w!.shape[0]!;
    for (let row = 0; row < rows; row++) {
      let along = 0;
      for (let m = 0; m < P; m++) {
        draw!.data[row * P + m] = s!.data[row]! * dp!.data[row * P + m]!;
        along += dp!.data[row * P + m]! * p!.data[row * P + m]!;
      }
      for (let k = 0; k < K; k++) {
        let sum = (-(s!.data[row]! ** 2) / K) * along * x!.data[row * K + k]!;
        for (let m = 0; m < P; m++) sum += draw!.data[row * P + m]! * w!.data[m * K + k]!;
        dx!.data[row * K + k] = sum;
      }
    }
  },
});

function projectionFlops({ inputs: [x, w] }: { inputs: readonly TensorSpec[] }): number {
  return 2 * sizeOf(x!.shape) * w!.shape[0]!;
}

/**
 * RMS-normalise each row of the streams and project it.
 *
 * @param x [..., n, C]
 * @param weight [P, K], K being n·C over a token and C over a stream
 * @returns [..., P] over a token, [..., n, P] over a stream
 * @throws ShapeError when the weight does not fit
 */
export function streamProjection(x: Tensor, weight: Tensor, attributes: StreamProjectionAttributes): Tensor {
  return applyAll(streamProjectionOperation, [x, weight], attributes)[0]!;
}
