// Question: what do one sublayer's write and the next one's coefficients and read do together, at the seam of the two?
//
//   x' = streamWrite(x, h, y),  p, s = streamProjection(x', w)      streamWriteProjection
//   h' = manifoldCoefficients(p, α, b),  u = streamRead(x', h')     coefficientsRead
//
// Backward, with du the gradient of u, dh' and dx' what the later write has given already:
//
//   dp, dα, db   of h', its gradient being dh' + (<du, x'_j> | 0 | 0)                 coefficientsReadBackward
//   dx           = dx' + pre_j du + streamProjectionBackward(x', w, p, s, dp)         streamReadProjectionBackward
//
// Each is one pass over the streams where the operations alone are two. A machine that has kernels for them says so
// (runtime/plan/fusions.ts); no graph is built with them, so they have no gradient.
// Bytes a token, in multiples of C: 2n + 1 (the operations alone 3n + 1) and n + 1; backward n + 1 and 3n + 1 (together
// 6n + 1 alone).
// Shapes: x and x' [..., n, C], h and h' [..., M], y and u [..., C], w [M, n C], p [..., M], s [..., 1].

import { apply, type Operation, sizeOf, Values } from "../graph/tensor.ts";
import { roundToBfloat16, toBfloat16, toFloat32 } from "./bfloat16.ts";
import { dot } from "./dot.ts";
import { add } from "./elementwise.ts";
import {
  manifoldCoefficientsBackwardOperation,
  manifoldCoefficientsOperation,
  type ManifoldCoefficientsAttributes,
} from "./manifold-coefficients.ts";
import {
  streamProjectionBackwardOperation,
  streamProjectionOperation,
  type StreamProjectionAttributes,
} from "./stream-projection.ts";
import { streamReadBackwardOperation, streamReadOperation } from "./stream-read.ts";
import { streamSizes } from "./streams.ts";
import { streamWriteOperation } from "./stream-write.ts";

export interface StreamWriteProjectionAttributes extends StreamProjectionAttributes {
  /** Whether what is projected is x' rounded to bfloat16, in which form it is kept. */
  readonly rounds: boolean;
}

export const streamWriteProjectionOperation: Operation<
  ["x", "h", "y", "w"],
  ["next", "p", "s"],
  StreamWriteProjectionAttributes
> = {
  name: "streamWriteProjection",
  inputs: ["x", "h", "y", "w"],
  outputs: ["next", "p", "s"],
  infer({ x, h, y, w }, attributes) {
    const { next } = streamWriteOperation.infer({ x, h, y }, undefined);
    return { next, ...streamProjectionOperation.infer({ x: next, w }, attributes) };
  },
  flops: ({ x, h, y, w, next, p, s }, attributes) =>
    streamWriteOperation.flops({ x, h, y, next }, undefined) +
    streamProjectionOperation.flops({ x: next, w, p, s }, attributes),
  reference({ x, h, y, w }, { next, p, s }, attributes) {
    streamWriteOperation.reference({ x, h, y }, { next }, undefined);
    if (attributes.rounds) next.each((i) => roundToBfloat16(next.at(i)));
    streamProjectionOperation.reference({ x: next, w }, { p, s }, attributes);
  },
  compose({ x, h, y, w }, attributes) {
    const { next: exact } = apply(streamWriteOperation, { x, h, y });
    const next = attributes.rounds ? toFloat32(toBfloat16(exact)) : exact;
    const { over, epsilon } = attributes;
    return { next, ...apply(streamProjectionOperation, { x: next, w }, { over, epsilon }) };
  },
};

export const coefficientsReadOperation: Operation<
  ["p", "alpha", "bias", "x"],
  ["h", "u"],
  ManifoldCoefficientsAttributes
> = {
  name: "coefficientsRead",
  inputs: ["p", "alpha", "bias", "x"],
  outputs: ["h", "u"],
  infer({ p, alpha, bias, x }, attributes) {
    const { h } = manifoldCoefficientsOperation.infer({ p, alpha, bias }, attributes);
    return { h, ...streamReadOperation.infer({ x, h }, undefined) };
  },
  flops: ({ p, alpha, bias, x, h, u }, attributes) =>
    manifoldCoefficientsOperation.flops({ p, alpha, bias, h }, attributes) +
    streamReadOperation.flops({ x, h, u }, undefined),
  reference({ p, alpha, bias, x }, { h, u }, attributes) {
    manifoldCoefficientsOperation.reference({ p, alpha, bias }, { h }, attributes);
    streamReadOperation.reference({ x, h }, { u }, undefined);
  },
  compose({ p, alpha, bias, x }, attributes) {
    const { h } = apply(manifoldCoefficientsOperation, { p, alpha, bias }, attributes);
    return { h, ...apply(streamReadOperation, { x, h }) };
  },
};

/** dh is the gradient of h but for what the read adds. */
export const coefficientsReadBackwardOperation: Operation<
  ["p", "alpha", "bias", "dh", "x", "du"],
  ["dp", "dalpha", "dbias"],
  ManifoldCoefficientsAttributes
> = {
  name: "coefficientsReadBackward",
  inputs: ["p", "alpha", "bias", "dh", "x", "du"],
  outputs: ["dp", "dalpha", "dbias"],
  infer: ({ p, alpha, bias, dh }, attributes) =>
    manifoldCoefficientsBackwardOperation.infer({ p, alpha, bias, dh }, attributes),
  flops: ({ p, alpha, bias, dh, x, dp, dalpha, dbias }, attributes) =>
    2 * sizeOf(x.shape) +
    manifoldCoefficientsBackwardOperation.flops({ p, alpha, bias, dh, dp, dalpha, dbias }, attributes),
  reference({ p, alpha, bias, dh, x, du }, results, attributes) {
    const { tokens, streams: n, channels: C } = streamSizes(x);
    const all = new Values(dh.shape, dh.data.slice());
    for (let t = 0; t < tokens; t++) for (let j = 0; j < n; j++) all.add(t, j, dot(du, t * C, x, (t * n + j) * C, C));
    manifoldCoefficientsBackwardOperation.reference({ p, alpha, bias, dh: all }, results, attributes);
  },
  compose({ p, alpha, bias, dh, x, du }, attributes) {
    // What the read adds to dh does not depend on the coefficients.
    const read = apply(streamReadBackwardOperation, { x, h: dh, du });
    return apply(manifoldCoefficientsBackwardOperation, { p, alpha, bias, dh: add(dh, read.dh) }, attributes);
  },
};

export interface StreamReadProjectionBackwardAttributes extends StreamProjectionAttributes {
  /** Whether the sum of before and the read's gradient is rounded to bfloat16 before the projection's is added. */
  readonly rounds: boolean;
}

/** before is the gradient of x but for what the read and the projection add; draw is that of x wᵀ. */
export const streamReadProjectionBackwardOperation: Operation<
  ["before", "x", "h", "du", "w", "p", "s", "dp"],
  ["dx", "draw"],
  StreamReadProjectionBackwardAttributes
> = {
  name: "streamReadProjectionBackward",
  inputs: ["before", "x", "h", "du", "w", "p", "s", "dp"],
  outputs: ["dx", "draw"],
  infer: ({ x, w, p, s, dp }, attributes) => streamProjectionBackwardOperation.infer({ x, w, p, s, dp }, attributes),
  flops: ({ x, w, p, s, dp, dx, draw }, attributes) =>
    3 * sizeOf(x.shape) + streamProjectionBackwardOperation.flops({ x, w, p, s, dp, dx, draw }, attributes),
  reference({ before, x, h, du, w, p, s, dp }, { dx, draw }, attributes) {
    const { streams: n, channels: C } = streamSizes(x);
    streamProjectionBackwardOperation.reference({ x, w, p, s, dp }, { dx, draw }, attributes);
    dx.each((at) => {
      const [row, c] = [Math.floor(at / C), at % C];
      const read = before.at(at) + h.at(Math.floor(row / n), row % n) * du.at(Math.floor(row / n), c);
      return dx.at(at) + (attributes.rounds ? roundToBfloat16(read) : read);
    });
  },
  compose({ before, x, h, du, w, p, s, dp }, { over, epsilon, rounds }) {
    const exact = add(before, apply(streamReadBackwardOperation, { x, h, du }).dx);
    const read = rounds ? toFloat32(toBfloat16(exact)) : exact;
    const { dx, draw } = apply(streamProjectionBackwardOperation, { x, w, p, s, dp }, { over, epsilon });
    return { dx: add(read, dx), draw };
  },
};
