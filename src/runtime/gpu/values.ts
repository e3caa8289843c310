// Question: which numbers are these bytes?

import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { TensorValues } from "../program.ts";

/** The values of a tensor from its bytes, which may have a few more at their end. */
export function valuesIn({ dtype, shape }: Tensor, bytes: ArrayBuffer): TensorValues {
  const size = sizeOf(shape);
  if (dtype === "bf16")
    return new Float32Array(Uint32Array.from(new Uint16Array(bytes, 0, size), (half) => half << 16).buffer);
  return dtype === "i32" ? new Int32Array(bytes, 0, size) : new Float32Array(bytes, 0, size);
}

/** The bytes of a state's values. */
export function bytesOf({ dtype }: Pick<Tensor, "dtype">, values: ArrayLike<number>): Int32Array | Float32Array {
  return dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values);
}
