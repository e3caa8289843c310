// Question: which operations does CUDA do in a way of its own? All others are those of every GPU (gpu/ops).
//
// An entry overrides the operation of every GPU. Its rule emits calls whose work is a kernel in CUDA C++ (`cudaCall`), a
// product (`emitProduct`), or a kernel in WGSL's subset as elsewhere (`kernelCall`).

import type { Operation } from "../../../graph/tensor.ts";
import type { Lowering } from "../../plan/machine.ts";
import { products } from "../products.ts";

/** By the operation itself. */
export const implementations: ReadonlyMap<Operation, Lowering> = new Map(
  [...products].map(({ op, lowering }) => [op, lowering]),
);
