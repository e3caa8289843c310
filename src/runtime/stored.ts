// Question: in which form do values lie in a machine's memory?
//
// f32 and i32 as in JavaScript's arrays; bf16 as the upper halves of float32.

import { sizeOf, type Tensor } from "../graph/tensor.ts";
import type { TensorValues } from "./program.ts";

/** Bytes of a tensor's values. */
export const bytesOf = ({ dtype, shape }: Tensor): number => (dtype === "bf16" ? 2 : 4) * sizeOf(shape);

/** The values of a tensor from its bytes, which may have a few more at their end; bf16 is widened. */
export function fromStored({ dtype, shape }: Tensor, bytes: ArrayBuffer): TensorValues {
  const size = sizeOf(shape);
  if (dtype === "bf16") return widened(new Uint16Array(bytes, 0, size));
  return dtype === "i32" ? new Int32Array(bytes, 0, size) : new Float32Array(bytes, 0, size);
}

/** Upper halves of float32 as float32. */
export function widened(narrow: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(narrow, (half) => half << 16).buffer);
}

/** A copy of what is to be written, in the form of the tensor. */
export function toStored(
  { dtype }: Pick<Tensor, "dtype">,
  values: ArrayLike<number>,
): Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> {
  return dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values);
}

/** A NaN that was made elsewhere may have other bits, and exp moves bits: it keeps only the usual NaN a NaN. */
export function makeNaNsPlain(values: TensorValues): void {
  for (let at = 0; at < values.length; at++) if (Number.isNaN(values[at])) values[at] = NaN;
}
