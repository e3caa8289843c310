// Question: how are values kept in half the bytes?
//
//   toBfloat16  float32 → bfloat16, rounded to the nearest, ties to even      any shape
//   toFloat32   bfloat16 → float32, exact                                     any shape
//
// bfloat16 is the upper half of a float32: the same exponents, 8 significant bits, a relative rounding
// error of 2⁻⁸ at most. Only values in memory are narrow; every formula sees float32. Each is the other's gradient:
// the gradients of narrow values are just as narrow (rounding itself counts as the identity). Streams are kept so by
// an option (section 4.3 of mHC, arXiv 2512.24880), and all that a precision policy rounds (graph/precision.ts).

import { apply, type Operation, sizeOf, type Tensor } from "../graph/tensor.ts";

/** How streams are stored between the sublayers: as float32, or in half the bytes as bfloat16 (8 significant bits). */
export type StreamPrecision = "float32" | "bfloat16";

export const toBfloat16Operation: Operation<["x"], ["narrow"]> = {
  name: "toBfloat16",
  inputs: ["x"],
  outputs: ["narrow"],
  infer({ x }) {
    if (x.dtype !== "f32") throw new TypeError(`toBfloat16: the tensor is ${x.dtype}; it must be f32.`);
    return { narrow: { shape: x.shape, dtype: "bf16" } };
  },
  gradient: (_tensors, { narrow: g }) => ({ x: toFloat32(g) }),
  flops: ({ x }) => sizeOf(x.shape),
  reference: ({ x }, { narrow }) => narrow.each((i) => roundToBfloat16(x.at(i))),
};

export const toFloat32Operation: Operation<["narrow"], ["x"]> = {
  name: "toFloat32",
  inputs: ["narrow"],
  outputs: ["x"],
  takesBfloat16: true,
  infer({ narrow }) {
    if (narrow.dtype !== "bf16")
      throw new TypeError(`toFloat32: the tensor is ${narrow.dtype} already; use it as it is.`);
    return { x: { shape: narrow.shape, dtype: "f32" } };
  },
  gradient: (_tensors, { x: g }) => ({ narrow: toBfloat16(g) }),
  flops: () => 0,
  reference: ({ narrow }, { x }) => x.data.set(narrow.data),
};

/**
 * Round to bfloat16 for storage: to the nearest, ties to even; what is beyond its range becomes infinite, NaN stays NaN.
 *
 * @param x f32 of any shape
 * @returns the same shape, dtype bf16, which only toFloat32 accepts
 * @throws TypeError when x is not f32
 */
export function toBfloat16(x: Tensor): Tensor {
  return apply(toBfloat16Operation, { x }).narrow;
}

/**
 * Convert values that were stored as bfloat16 back to float32.
 *
 * @param x dtype bf16, of any shape
 * @returns the same values as float32
 * @throws TypeError when they are float32 already
 */
export function toFloat32(x: Tensor): Tensor {
  return apply(toFloat32Operation, { narrow: x }).x;
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
