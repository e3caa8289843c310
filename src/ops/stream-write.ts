// How the streams take up a sublayer's result: x' = hRes · x + hPostᵀ · y (Eq. 3 of mHC, arXiv 2512.24880).
//
//   x'_i = Σ_j res_ij x_j + post_i y
//   dx_j = Σ_i res_ij g_i,  dy = Σ_i post_i g_i,  dres_ij = <g_i, x_j>,  dpost_i = <g_i, y>
//
// Shapes: x, x', g [..., n, C], h [..., M] (pre | post | res), y [..., C]. Derivation: docs/derivations/write.md.

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
import { expectShapes } from "./shapes.ts";
import { expectCoefficients } from "./stream-read.ts";
import { streamSizes } from "./streams.ts";

export const streamWriteOperation: Operation<["x", "h", "y"], ["next"]> = positional<
  ["x", "h", "y"],
  ["next"],
  unknown
>({
  name: "streamWrite",
  inputs: ["x", "h", "y"],
  outputs: ["next"],
  infer([x, h, y]) {
    expectCoefficients("streamWrite", x!, h!);
    expectShapes(
      sameShape(y!.shape, [...x!.shape.slice(0, -2), lastAxis(x!.shape)]),
      "streamWrite",
      { x: x!, y: y! },
      "y must have the tokens and channels of x, and no axis of streams.",
    );
    return [{ shape: x!.shape, dtype: "f32" }];
  },
  gradient({ inputs: [x, h, y] }, [g]) {
    const [dx, dy, dh] = applyAll(streamWriteBackwardOperation, [x!, h!, y!, g!], {});
    return [dx, dh, dy];
  },
  flops: ({ inputs: [x] }) => 2 * sizeOf(x!.shape) * (streamSizes(x!).streams + 1),
  reference([x, h, y], [next]) {
    const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x!);
    for (let t = 0; t < tokens; t++) {
      const post = h!.data.subarray(t * M + n),
        res = h!.data.subarray(t * M + 2 * n);
      for (let i = 0; i < n; i++) {
        for (let c = 0; c < C; c++) {
          let sum = post[i]! * y!.data[t * C + c]!;
          for (let j = 0; j < n; j++) sum += res[i * n + j]! * x!.data[(t * n + j) * C + c]!;
          next!.data[(t * n + i) * C + c] = sum;
        }
      }
    }
  },
});

/** (x, h, y, g) → (dx, dy, dh); the pre part of dh is zero. */
export const streamWriteBackwardOperation: Operation<["x", "h", "y", "g"], ["dx", "dy", "dh"]> = positional<
  ["x", "h", "y", "g"],
  ["dx", "dy", "dh"],
  unknown
>({
  name: "streamWriteBackward",
  inputs: ["x", "h", "y", "g"],
  outputs: ["dx", "dy", "dh"],
  infer: ([x, h, y]) => [x!, y!, h!].map(({ shape }) => ({ shape, dtype: "f32" })),
  flops: ({ inputs: [x] }) => 4 * sizeOf(x!.shape) * (streamSizes(x!).streams + 1),
  reference([x, h, y, g], [dx, dy, dh]) {
    const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x!);
    for (let t = 0; t < tokens; t++) {
      const post = h!.data.subarray(t * M + n),
        res = h!.data.subarray(t * M + 2 * n);
      const dPost = dh!.data.subarray(t * M + n),
        dRes = dh!.data.subarray(t * M + 2 * n);
      for (let i = 0; i < n; i++) {
        for (let c = 0; c < C; c++) {
          const gradient = g!.data[(t * n + i) * C + c]!;
          dy!.data[t * C + c]! += post[i]! * gradient;
          dPost[i]! += gradient * y!.data[t * C + c]!;
          for (let j = 0; j < n; j++) {
            dx!.data[(t * n + j) * C + c]! += res[i * n + j]! * gradient;
            dRes[i * n + j]! += gradient * x!.data[(t * n + j) * C + c]!;
          }
        }
      }
    }
  },
});

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
  return applyOne(streamWriteOperation, [x, coefficients, y], {});
}
