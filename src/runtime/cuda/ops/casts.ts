// Question: how does CUDA round to bfloat16 and widen it where no kernel does so on the way? In chains of elements.

import { sizeOf } from "../../../graph/tensor.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../../ops/bfloat16.ts";
import { calls, elementCall, type Implementation, operand } from "../../gpu/implement.ts";

export const casts: readonly Implementation[] = [
  calls(toBfloat16Operation, ({ x, narrow }, _attributes, context) =>
    context.emit(
      elementCall({
        name: "toBfloat16",
        reads: [{ ...operand(context, x), name: "x", index: "i" }],
        write: { buffer: context.buffer(narrow), type: "bf16" },
        value: "x",
        size: sizeOf(x.shape),
      }),
    ),
  ),
  calls(toFloat32Operation, ({ narrow, x }, _attributes, context) => {
    const { buffer, dtype } = context.stored(x);
    context.emit(
      elementCall({
        name: "toFloat32",
        reads: [{ buffer: context.buffer(narrow), type: "bf16", name: "narrow", index: "i" }],
        write: { buffer, type: dtype },
        value: "narrow",
        size: sizeOf(x.shape),
      }),
    );
  }),
];
