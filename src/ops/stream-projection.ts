// Question: which projection do the coefficients of HC and mHC start from?
//
// The projection multiplies RMS-normalised streams by a small matrix. The matrix absorbs the weight of the norm, and the
// division is done after the product (Eq. 14 to 16 of mHC, arXiv 2512.24880).
//
//   p = s · (x wᵀ),  s = 1 / sqrt(mean(x²) + epsilon)
//   draw = s · dp,  dx = draw · w − (s² / K) (Σ_m dp_m p_m) · x,  dw = drawᵀ · x
//
// A row of length K is one token's n·C entries together (mHC: `over` "token"), or one stream's C (HC:
// `over` "stream"). Shapes: x [..., n, C]; w [P, K]; p [..., P] or [..., n, P]; s as p with P = 1.

import {
  apply,
  lastAxis,
  type Operation,
  rowCount,
  type Shape,
  sizeOf,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
import { addScaled, dot } from "./dot.ts";
import { multiply, scale, square, subtract } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { scaleRows } from "./masks.ts";
import { sumLast } from "./reductions.ts";
import { reshape } from "./reshape.ts";
import { composedInverseRms } from "./rms-norm.ts";
import { expectEpsilon } from "./epsilons.ts";
import { expectShapes } from "./shapes.ts";
import { expectStreams, streamSizes } from "./streams.ts";

export interface StreamProjectionAttributes {
  /** The entries that are normalised and projected together. */
  readonly over: "token" | "stream";
  readonly epsilon: number;
}

/** The length K of a row and the number of rows, for x [..., n, C]. */
export function projectionRows(
  x: { readonly shape: Shape },
  { over }: StreamProjectionAttributes,
): { rows: number; length: number } {
  const { tokens, streams, channels } = streamSizes(x);
  return over === "token" ? { rows: tokens, length: streams * channels } : { rows: tokens * streams, length: channels };
}

export const streamProjectionOperation: Operation<["x", "w"], ["p", "s"], StreamProjectionAttributes> = {
  name: "streamProjection",
  inputs: ["x", "w"],
  outputs: ["p", "s"],
  infer({ x, w }, attributes) {
    expectStreams("streamProjection", x);
    expectEpsilon("streamProjection", attributes.epsilon);
    const { length } = projectionRows(x, attributes);
    expectShapes(
      w.shape.length === 2 && w.shape[1] === length,
      "streamProjection",
      { x, weight: w },
      `the weight must be [outputs, ${length}]: it projects ${attributes.over === "token" ? "all n·C entries of a token" : "the C channels of a stream"}.`,
    );
    const leading = x.shape.slice(0, attributes.over === "token" ? -2 : -1);
    return {
      p: { shape: [...leading, rowCount(w.shape)], dtype: "f32" },
      s: { shape: [...leading, 1], dtype: "f32" },
    };
  },
  gradient({ x, w, p, s }, { p: dp }, attributes) {
    if (!dp) throw new Error("streamProjection: only the projections carry a gradient, not the inverse norms s.");
    const { dx, draw } = apply(streamProjectionBackwardOperation, { x, w, p, s, dp }, attributes);
    return { x: dx, w: matmul(draw, asRows(x, draw), { transposeA: true }) };
  },
  flops: ({ x, w }) => projectionFlops(x, w) + 2 * sizeOf(x.shape),
  reference({ x, w }, { p, s }, attributes) {
    const { rows, length: K } = projectionRows(x, attributes);
    for (let row = 0; row < rows; row++) {
      const squares = dot(x, row * K, x, row * K, K);
      s.set(row, 1 / Math.sqrt(squares / K + attributes.epsilon));
      for (let m = 0; m < rowCount(w.shape); m++) p.set(row, m, s.at(row) * dot(x, row * K, w, m * K, K));
    }
  },
  compose({ x, w }, attributes) {
    const { rows, length } = projectionRows(x, attributes);
    const leading = x.shape.slice(0, attributes.over === "token" ? -2 : -1);
    const x_RK = reshape(x, [rows, length]);
    const s = composedInverseRms(x_RK, attributes.epsilon);
    const p = scaleRows(matmul(x_RK, w, { transposeB: true }), s);
    return { p: reshape(p, [...leading, lastAxis(p.shape)]), s: reshape(s, [...leading, 1]) };
  },
};

/** draw is the gradient of x wᵀ. */
export const streamProjectionBackwardOperation: Operation<
  ["x", "w", "p", "s", "dp"],
  ["dx", "draw"],
  StreamProjectionAttributes
> = {
  name: "streamProjectionBackward",
  inputs: ["x", "w", "p", "s", "dp"],
  outputs: ["dx", "draw"],
  infer: ({ x, p }) => ({ dx: { shape: x.shape, dtype: "f32" }, draw: { shape: p.shape, dtype: "f32" } }),
  flops: ({ x, w }) => projectionFlops(x, w) + 2 * sizeOf(x.shape),
  reference({ x, w, p, s, dp }, { dx, draw }, attributes) {
    const { rows, length: K } = projectionRows(x, attributes);
    const P = rowCount(w.shape);
    for (let row = 0; row < rows; row++) {
      let along = 0;
      for (let m = 0; m < P; m++) {
        draw.set(row, m, s.at(row) * dp.at(row, m));
        along += dp.at(row, m) * p.at(row, m);
      }
      addScaled(dx, row * K, (-(s.at(row) ** 2) / K) * along, x, row * K, K);
      for (let m = 0; m < P; m++) addScaled(dx, row * K, draw.at(row, m), w, m * K, K);
    }
  },
  compose({ x, w, p, s, dp }) {
    const factor = reshape(s, s.shape.slice(0, -1));
    const draw = scaleRows(dp, factor);
    const rows = asRows(x, draw);
    const along = multiply(square(factor), scale(sumLast(multiply(dp, p)), 1 / lastAxis(rows.shape)));
    return { dx: reshape(subtract(matmul(draw, w), scaleRows(rows, along)), x.shape), draw };
  },
};

/** x as the rows that were projected, [..., K], one for each row of p [..., P]. */
function asRows(x: Tensor, p: Tensor): Tensor {
  return reshape(x, [...p.shape.slice(0, -1), sizeOf(x.shape) / rowCount(p.shape)]);
}

function projectionFlops(x: TensorSpec, w: TensorSpec): number {
  return 2 * sizeOf(x.shape) * rowCount(w.shape);
}

/**
 * RMS-normalise each row of the streams and project it.
 *
 * @param x [..., n, C]
 * @param weight [P, K], where K is n·C over a token and C over a stream
 * @returns [..., P] over a token, [..., n, P] over a stream
 * @throws ShapeError when the weight does not fit
 */
export function streamProjection(x: Tensor, weight: Tensor, attributes: StreamProjectionAttributes): Tensor {
  return apply(streamProjectionOperation, { x, w: weight }, attributes).p;
}
