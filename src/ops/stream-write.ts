// Question: how is a sublayer's result written to the streams (x' = hRes · x + hPostᵀ · y, Eq. 3 of mHC, arXiv 2512.24880)?
//
//   x'_i = Σ_j res_ij x_j + post_i y
//   dx_j = Σ_i res_ij g_i,  dy = Σ_i post_i g_i,  dres_ij = <g_i, x_j>,  dpost_i = <g_i, y>
//
// Shapes: x, x', g [..., n, C], h [..., M] (pre | post | res), y [..., C]. Derivation: docs/derivations/write.md.

import { apply, lastAxis, type Operation, sameShape, sizeOf, type Tensor } from "../graph/tensor.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { add } from "./elementwise.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";
import { coefficientRows, expectCoefficients, placeCoefficients } from "./stream-read.ts";
import { streamSizes } from "./streams.ts";

export const streamWriteOperation: Operation<["x", "h", "y"], ["next"]> = {
  name: "streamWrite",
  inputs: ["x", "h", "y"],
  outputs: ["next"],
  infer({ x, h, y }) {
    expectCoefficients("streamWrite", x, h);
    expectShapes(
      sameShape(y.shape, [...x.shape.slice(0, -2), lastAxis(x.shape)]),
      "streamWrite",
      { x, y },
      "y must have the tokens and channels of x, and no axis of streams.",
    );
    return { next: { shape: x.shape, dtype: "f32" } };
  },
  gradient({ x, h, y }, { next: g }) {
    const { dx, dy, dh } = apply(streamWriteBackwardOperation, { x, h, y, g });
    return { x: dx, h: dh, y: dy };
  },
  flops: ({ x }) => 2 * sizeOf(x.shape) * (streamSizes(x).streams + 1),
  reference({ x, h, y }, { next }) {
    const { tokens, streams: n, channels: C } = streamSizes(x);
    for (let t = 0; t < tokens; t++) {
      for (let i = 0; i < n; i++) {
        const post = h.at(t, n + i);
        for (let c = 0; c < C; c++) {
          let sum = post * y.at(t, c);
          for (let j = 0; j < n; j++) sum += h.at(t, (2 + i) * n + j) * x.at(t, j, c);
          next.set(t, i, c, sum);
        }
      }
    }
  },
  compose({ x, h, y }) {
    const mixed = batchedMatmul(coefficientRows(h, x, "res"), x);
    return { next: add(mixed, batchedMatmul(coefficientRows(h, x, "post"), asRow(y), { transposeA: true })) };
  },
};

/** The pre part of dh is zero. */
export const streamWriteBackwardOperation: Operation<["x", "h", "y", "g"], ["dx", "dy", "dh"]> = {
  name: "streamWriteBackward",
  inputs: ["x", "h", "y", "g"],
  outputs: ["dx", "dy", "dh"],
  infer: ({ x, h, y }) => ({
    dx: { shape: x.shape, dtype: "f32" },
    dy: { shape: y.shape, dtype: "f32" },
    dh: { shape: h.shape, dtype: "f32" },
  }),
  flops: ({ x }) => 4 * sizeOf(x.shape) * (streamSizes(x).streams + 1),
  reference({ x, h, y, g }, { dx, dy, dh }) {
    const { tokens, streams: n, channels: C } = streamSizes(x);
    for (let t = 0; t < tokens; t++) {
      for (let i = 0; i < n; i++) {
        for (let c = 0; c < C; c++) {
          const gradient = g.at(t, i, c);
          dy.add(t, c, h.at(t, n + i) * gradient);
          dh.add(t, n + i, gradient * y.at(t, c));
          for (let j = 0; j < n; j++) {
            dx.add(t, j, c, h.at(t, (2 + i) * n + j) * gradient);
            dh.add(t, (2 + i) * n + j, gradient * x.at(t, j, c));
          }
        }
      }
    }
  },
  compose({ x, h, y, g }) {
    const dPost = batchedMatmul(asRow(y), g, { transposeB: true });
    const dRes = batchedMatmul(g, x, { transposeB: true });
    return {
      dx: batchedMatmul(coefficientRows(h, x, "res"), g, { transposeA: true }),
      dy: reshape(batchedMatmul(coefficientRows(h, x, "post"), g), y.shape),
      dh: add(placeCoefficients(dPost, x, "post"), placeCoefficients(dRes, x, "res")),
    };
  },
};

/** y [..., C] as matrices of one row, [..., 1, C]. */
function asRow(y: Tensor): Tensor {
  return reshape(y, [...y.shape.slice(0, -1), 1, lastAxis(y.shape)]);
}

/**
 * The streams after a sublayer: mixed by the res coefficients, plus its result weighted by the post ones.
 *
 * @param x [..., n, C]
 * @param coefficients [..., n² + 2n], laid out pre | post | res (row-major, row = output stream)
 * @param y [..., C], the sublayer's result
 * @returns [..., n, C]
 * @throws ShapeError when the coefficients or y do not fit the streams
 */
export function streamWrite(x: Tensor, coefficients: Tensor, y: Tensor): Tensor {
  return apply(streamWriteOperation, { x, h: coefficients, y }).next;
}
