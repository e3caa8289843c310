// Question: what does a sublayer read of the streams (u = hPre · x, Eq. 3 of mHC, arXiv 2512.24880)?
//
//   u = Σ_j pre_j x_j
//   dx_j = pre_j du,  dpre_j = <du, x_j>
//
// Shapes: x [..., n, C], h [..., M] (pre | post | res), u [..., C]. Derivation: docs/derivations/read.md.

import { apply, lastAxis, type Operation, sameShape, sizeOf, type Tensor, type TensorSpec } from "../graph/tensor.ts";
import { batchedMatmul } from "./batched-matmul.ts";
import { reshape } from "./reshape.ts";
import { expectShapes } from "./shapes.ts";
import { place, slice } from "./slice.ts";
import { expectStreams, streamSizes } from "./streams.ts";

export const streamReadOperation: Operation<["x", "h"], ["u"]> = {
  name: "streamRead",
  inputs: ["x", "h"],
  outputs: ["u"],
  infer({ x, h }) {
    expectCoefficients("streamRead", x, h);
    return { u: { shape: [...x.shape.slice(0, -2), lastAxis(x.shape)], dtype: "f32" } };
  },
  gradient({ x, h }, { u: du }) {
    const { dx, dh } = apply(streamReadBackwardOperation, { x, h, du });
    return { x: dx, h: dh };
  },
  flops: ({ x }) => 2 * sizeOf(x.shape),
  reference({ x, h }, { u }) {
    const { tokens, streams: n, channels: C } = streamSizes(x);
    for (let t = 0; t < tokens; t++) {
      for (let j = 0; j < n; j++) {
        for (let c = 0; c < C; c++) u.add(t, c, h.at(t, j) * x.at(t, j, c));
      }
    }
  },
  compose({ x, h }) {
    const u = batchedMatmul(coefficientRows(h, x, "pre"), x);
    return { u: reshape(u, [...x.shape.slice(0, -2), lastAxis(x.shape)]) };
  },
};

/** The post and res parts of dh are zero. */
export const streamReadBackwardOperation: Operation<["x", "h", "du"], ["dx", "dh"]> = {
  name: "streamReadBackward",
  inputs: ["x", "h", "du"],
  outputs: ["dx", "dh"],
  infer: ({ x, h }) => ({ dx: { shape: x.shape, dtype: "f32" }, dh: { shape: h.shape, dtype: "f32" } }),
  flops: ({ x }) => 4 * sizeOf(x.shape),
  reference({ x, h, du }, { dx, dh }) {
    const { tokens, streams: n, channels: C } = streamSizes(x);
    for (let t = 0; t < tokens; t++) {
      for (let j = 0; j < n; j++) {
        for (let c = 0; c < C; c++) {
          dx.set(t, j, c, h.at(t, j) * du.at(t, c));
          dh.add(t, j, du.at(t, c) * x.at(t, j, c));
        }
      }
    }
  },
  compose({ x, h, du }) {
    const row = reshape(du, [...x.shape.slice(0, -2), 1, lastAxis(x.shape)]);
    return {
      dx: batchedMatmul(coefficientRows(h, x, "pre"), row, { transposeA: true }),
      dh: placeCoefficients(batchedMatmul(row, x, { transposeB: true }), x, "pre"),
    };
  },
};

/** Where a part of the coefficients begins, and how many rows of n it has. */
function partOf(part: "pre" | "post" | "res", n: number): { start: number; rows: number } {
  return { start: { pre: 0, post: n, res: 2 * n }[part], rows: part === "res" ? n : 1 };
}

/** For composed forms: a part of the coefficients h [..., M] as matrices, pre and post [..., 1, n], res [..., n, n]. */
export function coefficientRows(h: Tensor, x: Tensor, part: "pre" | "post" | "res"): Tensor {
  const n = streamSizes(x).streams;
  const { start, rows } = partOf(part, n);
  return reshape(slice(h, h.shape.length - 1, start, rows * n), [...h.shape.slice(0, -1), rows, n]);
}

/** For composed forms: place such matrices as one part of coefficients [..., M] that are zero elsewhere. */
export function placeCoefficients(matrices: Tensor, x: Tensor, part: "pre" | "post" | "res"): Tensor {
  const { streams: n, coefficients: M } = streamSizes(x);
  const { start, rows } = partOf(part, n);
  const leading = x.shape.slice(0, -2);
  return place(reshape(matrices, [...leading, rows * n]), leading.length, start, M);
}

/** Throw unless h holds the M coefficients of every token of x. */
export function expectCoefficients(operation: string, x: TensorSpec, h: TensorSpec): void {
  expectStreams(operation, x);
  const { streams: n, coefficients: M } = streamSizes(x);
  expectShapes(
    sameShape(h.shape, [...x.shape.slice(0, -2), M]),
    operation,
    { x, coefficients: h },
    `${n} streams need n² + 2n = ${M} coefficients for every token, as manifoldCoefficients() and hyperCoefficients() return them.`,
  );
}

/**
 * What a sublayer reads: the streams weighted by the pre coefficients.
 *
 * @param x [..., n, C]
 * @param coefficients [..., n² + 2n], laid out pre | post | res
 * @returns [..., C]
 * @throws ShapeError when the coefficients do not fit the streams
 */
export function streamRead(x: Tensor, coefficients: Tensor): Tensor {
  return apply(streamReadOperation, { x, h: coefficients }).u;
}
