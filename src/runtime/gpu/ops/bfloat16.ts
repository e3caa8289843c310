// Question: how does a GPU keep streams as bfloat16? Two in a word of 32 bits, the first in its lower half.

import { sizeOf } from "../../../graph/tensor.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../../ops/bfloat16.ts";
import { calls, type Implementation, kernelCall, operand, u } from "../implement.ts";
import { WIDTH } from "../rows.ts";

export const bfloat16: readonly Implementation[] = [
  calls(toBfloat16Operation, ({ x, narrow }, _attributes, context) => {
    const size = sizeOf(x.shape);
    const words = Math.ceil(size / 2);
    context.emit(
      kernelCall({
        name: "toBfloat16",
        reads: { x: operand(context, x) },
        writes: { narrow: operand(context, narrow) },
        width: WIDTH,
        groups: Math.ceil(words / WIDTH),
        body: `
  let word: u32 = group * ${u(WIDTH)} + lane;
  if (word < ${u(words)}) {
    let second: f32 = select(0.0f, x[min(2u * word + 1u, ${u(size - 1)})], 2u * word + 1u < ${u(size)});
    narrow[word] = toBfloat16(x[2u * word]) | (toBfloat16(second) << 16u);
  }`,
      }),
    );
  }),
  calls(toFloat32Operation, ({ narrow, x }, _attributes, context) => {
    const size = sizeOf(x.shape);
    context.emit(
      kernelCall({
        name: "toFloat32",
        reads: { narrow: operand(context, narrow) },
        writes: { x: operand(context, x) },
        width: WIDTH,
        groups: Math.ceil(size / WIDTH),
        body: `
  let i: u32 = group * ${u(WIDTH)} + lane;
  if (i < ${u(size)}) {
    let word: u32 = narrow[i / 2u];
    x[i] = fromBits(select(word << 16u, word & 0xffff0000u, i % 2u == 1u));
  }`,
      }),
    );
  }),
];
