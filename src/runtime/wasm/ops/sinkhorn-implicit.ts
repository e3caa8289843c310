// Question: how does the CPU run Sinkhorn where its limit has the gradient?

import { sinkhornImplicitOperation } from "../../../ops/sinkhorn-implicit.ts";
import { type Implementation, implement } from "../implement.ts";
import { emitSinkhorn } from "./sinkhorn.ts";

export const sinkhornImplicit: readonly Implementation[] = [
  implement(sinkhornImplicitOperation, ({ logits, r }, calls, attributes) =>
    emitSinkhorn(calls, logits, r, attributes),
  ),
];
