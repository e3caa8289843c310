// Question: what do one sublayer's write and the next one's coefficients and read do together, at the seam of the two?
//
//   x' = streamWrite(x, h, y),  p, s = streamProjection(x', w)      streamWriteProjection
//   h' = manifoldCoefficients(p, α, b),  u = streamRead(x', h')     coefficientsRead
//
// Each is one pass over the streams where the operations alone are two. A machine that has kernels for them says so
// (runtime/plan/fusions.ts); no graph is built with them, so they have no gradient.
// Bytes a token, in multiples of C: the write and the projection 2n + 1 (alone 3n + 1), the read n + 1.
// Shapes: x and x' [..., n, C], h and h' [..., M], y and u [..., C], w [M, n C], p [..., M], s [..., 1].

import { apply, type Operation } from "../graph/tensor.ts";
import { roundToBfloat16, toBfloat16, toFloat32 } from "./bfloat16.ts";
import { manifoldCoefficientsOperation, type ManifoldCoefficientsAttributes } from "./manifold-coefficients.ts";
import { streamProjectionOperation, type StreamProjectionAttributes } from "./stream-projection.ts";
import { streamReadOperation } from "./stream-read.ts";
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
