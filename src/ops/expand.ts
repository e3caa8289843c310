// Question: how do channels become n parallel streams, and streams one again?
//
//   expand    x_j = scale · u       for every stream j       [..., C]    → [..., n, C]
//   collapse  u = scale · Σ_j x_j                            [..., n, C] → [..., C]
//
// Each is the other's gradient. The leading axes are tokens T. The Hyper-Connections paper expands by replication
// (scale 1) and collapses by the sum. Scale 1/n gives the mean.

import { apply, lastAxis, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { scale as times } from "./elementwise.ts";
import { transpose } from "./permute.ts";
import { broadcastLast, sumLast } from "./reductions.ts";
import { expectShapes } from "./shapes.ts";
import { expectStreams, streamSizes } from "./streams.ts";

export interface ExpandAttributes {
  /** n. */
  readonly streams: number;
  readonly scale: number;
}

export const expandOperation: Operation<["u"], ["x"], ExpandAttributes> = {
  name: "expand",
  inputs: ["u"],
  outputs: ["x"],
  infer({ u }, { streams }) {
    expectShapes(
      u.shape.length >= 2,
      "expand",
      { x: u },
      "the channels must be [tokens, C], with one axis of tokens or more.",
    );
    return { x: { shape: [...u.shape.slice(0, -1), streams, lastAxis(u.shape)], dtype: "f32" } };
  },
  gradient: (_tensors, { x: g }, { scale }) => ({ u: apply(collapseOperation, { x: g }, { scale }).u }),
  flops: ({ x }, { scale }) => (scale === 1 ? 0 : sizeOf(x.shape)),
  reference({ u }, { x }, { scale }) {
    const { tokens, streams: n, channels: C } = streamSizes(x);
    for (let t = 0; t < tokens; t++) {
      for (let j = 0; j < n; j++) {
        for (let c = 0; c < C; c++) x.set(t, j, c, scale * u.at(t, c));
      }
    }
  },
  compose: ({ u }, { streams, scale }) => ({ x: transpose(broadcastLast(times(u, scale), streams)) }),
};

export interface CollapseAttributes {
  readonly scale: number;
}

export const collapseOperation: Operation<["x"], ["u"], CollapseAttributes> = {
  name: "collapse",
  inputs: ["x"],
  outputs: ["u"],
  infer({ x }) {
    expectStreams("collapse", x);
    return { u: { shape: [...x.shape.slice(0, -2), lastAxis(x.shape)], dtype: "f32" } };
  },
  gradient: ({ x }, { u: g }, { scale }) => ({
    x: apply(expandOperation, { u: g }, { streams: streamSizes(x).streams, scale }).x,
  }),
  flops: ({ x }) => 2 * sizeOf(x.shape),
  reference({ x }, { u }, { scale }) {
    const { tokens, streams: n, channels: C } = streamSizes(x);
    for (let t = 0; t < tokens; t++) {
      for (let j = 0; j < n; j++) {
        for (let c = 0; c < C; c++) u.add(t, c, scale * x.at(t, j, c));
      }
    }
  },
  compose: ({ x }, { scale }) => ({ u: times(sumLast(transpose(x)), scale) }),
};

/**
 * Replicate channels into n streams.
 *
 * @param x [..., C], such as [T, C] or [B, T, C]
 * @param streams n
 * @returns [..., n, C], every stream a copy of x
 * @throws ShapeError when x has no axis of tokens
 */
export function expand(x: Tensor, streams: number): Tensor {
  return apply(expandOperation, { u: x }, { streams, scale: 1 }).x;
}

/**
 * Join n streams into one.
 *
 * @param x [..., n, C]
 * @param how "mean" keeps the scale of a stream; the Hyper-Connections paper uses "sum"
 * @returns [..., C]
 * @throws ShapeError when x is not a tensor of streams
 */
export function collapse(x: Tensor, how: "mean" | "sum"): Tensor {
  return apply(collapseOperation, { x }, { scale: how === "mean" ? 1 / streamSizes(x).streams : 1 }).u;
}
