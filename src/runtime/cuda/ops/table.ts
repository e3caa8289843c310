// Question: which operations does CUDA do in a way of its own? All others are those of every GPU (gpu/ops).
//
// An entry overrides the operation of every GPU. Its rule emits calls whose work is a kernel in CUDA C++ (`cudaCall`), a
// product (`emitProduct`), or a kernel in WGSL's subset as elsewhere (`kernelCall`).

import type { Operation } from "../../../graph/tensor.ts";
import type { Implementation } from "../../gpu/implement.ts";
import type { Lowering } from "../../plan/machine.ts";
import { products } from "../products.ts";
import { casts } from "./casts.ts";
import { attention } from "./attention.ts";
import { streamProjection } from "./stream-projection.ts";
import { streams } from "./streams.ts";

const byOperation = (found: readonly Implementation[]): ReadonlyMap<Operation, Lowering> =>
  new Map(found.map(({ op, lowering }) => [op, lowering]));

/** By the operation itself; for GPUs with bfloat16, compute capability 8.0 and more. */
export const implementations: ReadonlyMap<Operation, Lowering> = byOperation([
  ...casts,
  ...products,
  ...attention,
  ...streams,
  ...streamProjection,
]);

/** For older GPUs, whose kernels have no operands of bfloat16. */
export const olderImplementations: ReadonlyMap<Operation, Lowering> = byOperation(products);
