// What a sublayer reads of the streams: u = hPre · x (Eq. 3 of mHC, arXiv 2512.24880).
//
//   u = Σ_j pre_j x_j
//   dx_j = pre_j du,  dpre_j = <du, x_j>
//
// Shapes: x [..., n, C], h [..., M] (pre | post | res), u [..., C]. Derivation: docs/derivations/read.md.

import {
  applyAll,
  applyOne,
  lastAxis,
  type Operation,
  positional,
  sameShape,
  sizeOf,
  type Tensor,
  type TensorSpec,
} from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";
import { expectStreams, streamSizes } from "./streams.ts";

export const streamReadOperation: Operation<["x", "h"], ["u"]> = positional<["x", "h"], ["u"], unknown>({
  name: "streamRead",
  inputs: ["x", "h"],
  outputs: ["u"],
  infer: ([x, h]) => {
    expectCoefficients("streamRead", x!, h!);
    return [{ shape: [...x!.shape.slice(0, -2), lastAxis(x!.shape)], dtype: "f32" }];
  },
  gradient: ({ inputs: [x, h] }, [du]) => applyAll(streamReadBackwardOperation, [x!, h!, du!], {}) as Tensor[],
  flops: ({ inputs: [x] }) => 2 * sizeOf(x!.shape),
  reference([x, h], [u]) {
    const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x!);
    for (let t = 0; t < tokens; t++) {
      for (let j = 0; j < n; j++) {
        const pre = h!.data[t * M + j]!;
        for (let c = 0; c < C; c++) u!.data[t * C + c]! += pre * x!.data[(t * n + j) * C + c]!;
      }
    }
  },
});

/** (x, h, du) → (dx, dh); the post and res parts of dh are zero. */
export const streamReadBackwardOperation: Operation<["x", "h", "du"], ["dx", "dh"]> = positional<
  ["x", "h", "du"],
  ["dx", "dh"],
  unknown
>({
  name: "streamReadBackward",
  inputs: ["x", "h", "du"],
  outputs: ["dx", "dh"],
  infer: ([x, h]) => [
    { shape: x!.shape, dtype: "f32" },
    { shape: h!.shape, dtype: "f32" },
  ],
  flops: ({ inputs: [x] }) => 4 * sizeOf(x!.shape),
  reference([x, h, du], [dx, dh]) {
    const { tokens, streams: n, channels: C, coefficients: M } = streamSizes(x!);
    for (let t = 0; t < tokens; t++) {
      for (let j = 0; j < n; j++) {
        const pre = h!.data[t * M + j]!;
        for (let c = 0; c < C; c++) {
          dx!.data[(t * n + j) * C + c] = pre * du!.data[t * C + c]!;
          dh!.data[t * M + j]! += du!.data[t * C + c]! * x!.data[(t * n + j) * C + c]!;
        }
      }
    }
  },
});

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
  return applyOne(streamReadOperation, [x, coefficients], {});
}
