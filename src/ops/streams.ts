// Question: what are the sizes of a tensor of streams?
//
// Legend of all stream operations: T tokens, n streams, C channels, M = n² + 2n coefficients, laid out
// pre (n) | post (n) | res (n², row = output stream, column = source stream): an [n + 2, n] matrix a token.

import { lastAxis, type Shape, sizeOf, type TensorSpec } from "../graph/tensor.ts";
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
  const streams = shape.at(-2) ?? 1;
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
