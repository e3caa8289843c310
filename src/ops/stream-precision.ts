// Question: how are streams stored in half the bytes?
//
//   narrow  float32 → bfloat16, rounded to the nearest, ties to even      [..., n, C]
//   widen   bfloat16 → float32, exact                                    [..., n, C]
//
// bfloat16 is the upper half of a float32: the same exponents, 8 significant bits, a relative rounding
// error of 2⁻⁹ at most. Only values in memory are narrow; every formula sees float32. Each is the other's gradient:
// the gradients of narrow streams are just as narrow (rounding itself counts as the identity). The choice follows
// section 4.3 of mHC (arXiv 2512.24880), whose streams are bfloat16.

import { apply, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";
import { expectStreams } from "./streams.ts";

/** How streams are stored between the sublayers: as float32, or in half the bytes as bfloat16 (8 significant bits). */
export type StreamPrecision = "float32" | "bfloat16";

export const streamNarrowOperation: Operation<["x"], ["narrow"]> = {
  name: "streamNarrow",
  inputs: ["x"],
  outputs: ["narrow"],
  infer({ x }) {
    expectStreams("streamNarrow", x);
    return { narrow: { shape: x.shape, dtype: "bf16" } };
  },
  gradient: (_tensors, { narrow: g }) => ({ x: streamWiden(g) }),
  flops: ({ x }) => sizeOf(x.shape),
  reference: ({ x }, { narrow }) => narrow.each((i) => roundToBfloat16(x.at(i))),
};

export const streamWidenOperation: Operation<["narrow"], ["x"]> = {
  name: "streamWiden",
  inputs: ["narrow"],
  outputs: ["x"],
  takesBfloat16: true,
  infer({ narrow }) {
    if (narrow.dtype !== "bf16")
      throw new TypeError(`streamWiden: the streams are ${narrow.dtype} already; use them as they are.`);
    return { x: { shape: narrow.shape, dtype: "f32" } };
  },
  gradient: (_tensors, { x: g }) => ({ narrow: streamNarrow(g) }),
  flops: () => 0,
  reference: ({ narrow }, { x }) => x.data.set(narrow.data),
};

/**
 * Round to bfloat16 for storage.
 *
 * @param x [..., n, C]
 * @returns the same shape, dtype bf16, which only streamWiden accepts
 * @throws ShapeError when x has no axis of streams
 */
export function streamNarrow(x: Tensor): Tensor {
  return apply(streamNarrowOperation, { x }).narrow;
}

/**
 * Convert streams that were stored as bfloat16 back to float32.
 *
 * @param x [..., n, C], dtype bf16
 * @returns the same values as float32
 * @throws TypeError when they are float32 already
 */
export function streamWiden(x: Tensor): Tensor {
  return apply(streamWidenOperation, { narrow: x }).x;
}

const bits = new DataView(new ArrayBuffer(4));

/** The nearest bfloat16, ties to even; float64 values pass through float32 first. */
export function roundToBfloat16(value: number): number {
  if (Number.isNaN(value)) return value;
  bits.setFloat32(0, value);
  const whole = bits.getUint32(0);
  bits.setUint32(0, (whole + 0x7fff + ((whole >>> 16) & 1)) & 0xffff0000);
  return bits.getFloat32(0);
}
