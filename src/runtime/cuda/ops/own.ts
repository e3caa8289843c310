// Question: how does CUDA do an operation in its own way where that pays, and as every GPU does elsewhere?

import type { Names } from "../../../graph/named.ts";
import { type Operation, operandsOf, type Tensor } from "../../../graph/tensor.ts";
import type { Implementation, Tensors } from "../../gpu/implement.ts";
import type { LoweringContext } from "../../plan/machine.ts";

/** How CUDA does an operation. */
export type Own = Implementation;

interface Rule<I extends Names, O extends Names, A> {
  /** The kernel can add a tensor of the result's shape on the way, here and in the kernel of every GPU. */
  readonly accumulates?: boolean;
  /** Whether the shapes, and the forms of the operands, are such that the kernel can do them. */
  fits(tensors: Tensors<I, O>, attributes: A, context: LoweringContext): boolean;
  lower(
    tensors: Tensors<I, O>,
    attributes: A,
    context: LoweringContext,
    addend: Tensor | undefined,
    scope: string,
  ): void;
}

/** @param everyGpu where the kernel of every GPU is found, for shapes that do not fit; without it all must */
export function own<I extends Names, O extends Names, A>(
  op: Operation<I, O, A>,
  everyGpu: readonly Implementation[],
  { accumulates = false, fits, lower }: Rule<I, O, A>,
): Own {
  const other = everyGpu.find((implementation) => (implementation.op as unknown) === op)?.lowering;
  if (!other) throw new Error(`own: ${op.name} has no kernel of every GPU.`);
  if (accumulates !== (other.accumulates === true))
    throw new Error(`own: ${op.name} must accumulate as the kernel of every GPU does.`);
  return {
    op: op,
    lowering: {
      ...(accumulates && { accumulates }),
      lower(node, context, addend) {
        const tensors = operandsOf(op, node) as Tensors<I, O>;
        const attributes = node.attributes as A;
        if (fits(tensors, attributes, context)) lower(tensors, attributes, context, addend, node.scope);
        else other.lower(node, context, addend);
      },
    },
  };
}
