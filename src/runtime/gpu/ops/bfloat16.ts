// Question: how does a GPU keep values as bfloat16? Two in a word of 32 bits, the first in its lower half.
//
// Rounding is elementwise, so it ends a chain. Widening is a kernel only where the float32 themselves are asked for: all
// kernels read narrow operands as they are (`operand` in implement.ts).

import { sizeOf } from "../../../graph/tensor.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../../ops/bfloat16.ts";
import { calls, elementCall, type Implementation, operand } from "../implement.ts";

export const bfloat16: readonly Implementation[] = [
  calls(toBfloat16Operation, ({ x, narrow }, _attributes, context) =>
    context.emit(
      elementCall({
        name: "toBfloat16",
        reads: [{ ...operand(context, x), name: "x", index: "i" }],
        write: { buffer: context.buffer(narrow), type: "u32", narrow: true },
        value: "rounded(x)",
        size: sizeOf(x.shape),
      }),
    ),
  ),
  calls(toFloat32Operation, ({ narrow, x }, _attributes, context) =>
    context.emit(
      elementCall({
        name: "toFloat32",
        reads: [{ buffer: context.buffer(narrow), type: "u32", narrow: true, name: "x", index: "i" }],
        write: { buffer: context.buffer(x), type: "f32" },
        value: "x",
        size: sizeOf(x.shape),
      }),
    ),
  ),
];
