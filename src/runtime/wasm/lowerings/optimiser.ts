// Question: which kernels compute the optimiser's operations?

import { sizeOf } from "../../../graph/tensor.ts";
import type { AdamwAttributes } from "../../../ops/adamw.ts";
import type { ClipScaleAttributes } from "../../../ops/clip-scale.ts";
import { elementwise, f32, i32, type Lowering, read, sumPartials, write } from "../lowering.ts";

/** Elements that make one partial, and partials that one task makes. */
const BLOCK = 4096;
const BLOCKS_PER_TASK = 4;

/** One number from a whole tensor: a partial per block, then their sum. */
function reduction(kernel: string): Lowering {
  return {
    lower(node, context) {
      const [x] = node.inputs;
      const all = sizeOf(x!.shape);
      const blocks = Math.ceil(all / BLOCK);
      const partials = context.temporary("partials", 4 * blocks);
      context.emit({
        kernel,
        domain: blocks,
        grain: BLOCKS_PER_TASK,
        operands: [read(context.buffer(x!), false), write(partials, false)],
        words: [i32(BLOCK), i32(all)],
      });
      sumPartials(context, partials, node.outputs[0]!, blocks);
    },
  };
}

/** The output comes first and a null pointer ends the list of sums. */
const clipScale: Lowering = {
  lower(node, context) {
    const { limit } = node.attributes as ClipScaleAttributes;
    context.emit({
      kernel: "clipScale",
      domain: 1,
      grain: 1,
      operands: [
        write(context.buffer(node.outputs[0]!), false),
        ...node.inputs.map((sum) => read(context.buffer(sum), false)),
        undefined,
      ],
      words: [f32(limit)],
    });
  },
};

export const optimiserLowerings: Readonly<Record<string, Lowering>> = {
  sumSquares: reduction("sumSquares"),
  countNotFinite: reduction("countNotFinite"),
  clipScale,
  adamw: elementwise<AdamwAttributes>("adamw", {
    whole: [4, 5],
    inPlace: [
      [0, 0],
      [2, 1],
      [3, 2],
    ],
    words: ({ attributes: { beta1, beta2, epsilon, weightDecay, learningRateScale } }) =>
      [beta1, 1 - beta1, beta2, 1 - beta2, epsilon, weightDecay, learningRateScale].map(f32),
  }),
};
