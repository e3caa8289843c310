// Question: what does an implementation get from the plan, and what does the plan ask of it?

import type { Node, Tensor } from "../../graph/tensor.ts";
import type { Buffer, Call } from "../plan/calls.ts";

export interface LoweringContext {
  /** Columns of a packed GEMM panel: 8 or 16. */
  readonly panelWidth: number;
  /** Only for choosing sizes of tasks where no result depends on them. */
  readonly threads: number;
  buffer(tensor: Tensor): Buffer;
  temporary(name: string, bytes: number): Buffer;
  /** Let a view share its source's buffer. */
  alias(view: Tensor, source: Tensor): void;
  emit(call: Omit<Call, "label" | "flops" | "inPlace"> & { inPlace?: Call["inPlace"]; flops?: number }): void;
}

export interface Lowering {
  /** Emit the calls of a node. `addend` is given only to rules that accumulate: output = addend + result. */
  lower(node: Node, context: LoweringContext, addend?: Tensor): void;
  /** The kernel can add a tensor of the output's shape on the way: add(x, this) costs nothing. */
  readonly accumulates?: boolean;
}
