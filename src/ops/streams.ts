// Question: how do channels become n parallel streams, and streams one again?
//
//   expand    x_j = scale · u       for every stream j       [..., C]    → [..., n, C]
//   collapse  u = scale · Σ_j x_j                            [..., n, C] → [..., C]
//
// Each is the other's gradient. The leading axes are tokens T; the paper of Hyper-Connections expands
// by replication (scale 1) and collapses by the sum, a mean is scale 1/n.
//
// Legend of all stream operations: T tokens, n streams, C channels, M = n² + 2n coefficients, laid out
// pre (n) | post (n) | res (n², row = output stream, column = source stream): an [n + 2, n] matrix a token.

import { applyOne, lastAxis, type Operation, positional, type Shape, sizeOf, type Tensor, type TensorSpec } from "../graph/tensor.ts";
import { expectShapes } from "./shapes.ts";

export interface StreamSizes {
  readonly tokens: number;
  /** n. */
  readonly streams: number;
  /** C. */
  readonly channels: number;
  /** M = n² + 2n. */
  readonly coefficients: number;
}

/** The sizes of x [..., n, C]. */
export function streamSizes({ shape }: { readonly shape: Shape }): StreamSizes {
  const streams = shape.at(-2)!;
  return {
    tokens: sizeOf(shape.slice(0, -2)),
    streams,
    channels: lastAxis(shape),
    coefficients: streams * (streams + 2),
  };
}

/** Throw unless x is a tensor of streams. */
export function expectStreams(operation: string, x: TensorSpec): void {
  expectShapes(
    x.shape.length >= 3,
    operation,
    { x },
    "the streams must be [tokens, n, C], with one axis of tokens or more; expand(x, n) makes them from [tokens, C].",
  );
}

export interface ExpandAttributes {
  readonly streams: number;
  readonly scale: number;
}

export const expandOperation: Operation<["u"], ["x"], ExpandAttributes> = positional<["u"], ["x"], ExpandAttributes>({
  name: "expand",
  inputs: ["u"],
  outputs: ["x"],
  infer: ([u], { streams }) => {
    expectShapes(
      u!.shape.length >= 2,
      "expand",
      { x: u! },
      "the channels must be [tokens, C], with one axis of tokens or more.",
    );
    return [{ shape: [...u!.shape.slice(0, -1), streams, lastAxis(u!.shape)], dtype: "f32" }];
  },
  gradient: ({ attributes: { scale } }, [g]) => [applyOne(collapseOperation, [g!], { scale })],
  flops: ({ outputs: [x], attributes: { scale } }) => (scale === 1 ? 0 : sizeOf(x!.shape)),
  reference([u], [x], { scale }) {
    const { tokens, streams: n, channels: C } = streamSizes(x!);
    for (let t = 0; t < tokens; t++) {
      for (let j = 0; j < n; j++) {
        for (let c = 0; c < C; c++) x!.data[(t * n + j) * C + c] = scale * u!.data[t * C + c]!;
      }
    }
  },
});

export const collapseOperation: Operation<["x"], ["u"], { readonly scale: number }> = positional<["x"], ["u"], { readonly scale: number }>({
  name: "collapse",
  inputs: ["x"],
  outputs: ["u"],
  infer: ([x]) => {
    expectStreams("collapse", x!);
    return [{ shape: [...x!.shape.slice(0, -2), lastAxis(x!.shape)], dtype: "f32" }];
  },
  gradient: ({ inputs: [x], attributes: { scale } }, [g]) => [
    applyOne(expandOperation, [g!], { streams: streamSizes(x!).streams, scale }),
  ],
  flops: ({ inputs: [x] }) => 2 * sizeOf(x!.shape),
  reference([x], [u], { scale }) {
    const { tokens, streams: n, channels: C } = streamSizes(x!);
    for (let t = 0; t < tokens; t++) {
      for (let j = 0; j < n; j++) {
        for (let c = 0; c < C; c++) u!.data[t * C + c]! += scale * x!.data[(t * n + j) * C + c]!;
      }
    }
  },
});

/**
 * Replicate channels into n streams.
 *
 * @param x [..., C], such as [T, C] or [B, T, C]
 * @param streams n
 * @returns [..., n, C], every stream a copy of x
 * @throws ShapeError when x has no axis of tokens
 */
export function expand(x: Tensor, streams: number): Tensor {
  return applyOne(expandOperation, [x], { streams, scale: 1 });
}

/**
 * Join n streams into one.
 *
 * @param x [..., n, C]
 * @param how "mean" keeps the scale of a stream; "sum" is the Hyper-Connections paper's
 * @returns [..., C]
 * @throws ShapeError when x is not a tensor of streams
 */
export function collapse(x: Tensor, how: "mean" | "sum"): Tensor {
  return applyOne(collapseOperation, [x], { scale: how === "mean" ? 1 / streamSizes(x).streams : 1 });
}
