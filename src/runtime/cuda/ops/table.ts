// Question: which operations does CUDA do in a way of its own? All others are those of every GPU (gpu/ops).
//
// An entry overrides the operation of every GPU. Its rule emits calls whose work is a kernel in CUDA C++ (`cudaCall`), a
// product (`emitProduct`), or a kernel in WGSL's subset as elsewhere (`kernelCall`).

import type { Operation } from "../../../graph/tensor.ts";
import type { Implementation } from "../../gpu/implement.ts";
import type { Lowering } from "../../plan/machine.ts";
import type { CudaDevice } from "../driver.ts";
import { products } from "../products.ts";
import { casts } from "./casts.ts";
import { attention } from "./attention.ts";
import { blocks } from "./blocks.ts";
import { coefficients } from "./coefficients.ts";
import { crossEntropy } from "./cross-entropy.ts";
import { expertMatmul } from "./expert-matmul.ts";
import { rmsNorm } from "./rms-norm.ts";
import { seam } from "./seam.ts";
import { streamProjection } from "./stream-projection.ts";
import { streams } from "./streams.ts";

const byOperation = (found: readonly Implementation[]): ReadonlyMap<Operation, Lowering> =>
  new Map(found.map(({ op, lowering }) => [op, lowering]));

/** What kernels of CUDA's own need to know of a GPU, and of the compiler: its version, such as 13000. */
type Abilities = Pick<CudaDevice, "capability" | "sharedBytes"> & { readonly compiler: number };

/** Whether kernels may have operands of bfloat16: from compute capability 8.0. */
export function hasBfloat16({ capability }: Pick<Abilities, "capability">): boolean {
  return Number.parseInt(capability) >= 8;
}

/** Whether tensor cores multiply factors of 8 bits: from compute capability 8.9, which compilers know from CUDA 12.4. */
const hasFloat8 = ({ capability, compiler }: Abilities): boolean =>
  Number.parseFloat(capability) >= 8.9 && compiler >= 12_040;

/** By the operation itself. */
export function implementationsFor(gpu: Abilities): ReadonlyMap<Operation, Lowering> {
  if (!hasBfloat16(gpu)) return byOperation(products(false));
  const { sharedBytes } = gpu;
  const float8 = hasFloat8(gpu);
  return byOperation([
    ...casts,
    ...products(float8),
    ...attention(sharedBytes),
    ...expertMatmul(float8),
    ...rmsNorm,
    ...blocks,
    ...crossEntropy,
    ...streams,
    ...streamProjection(sharedBytes),
    ...coefficients,
    ...seam(sharedBytes),
  ]);
}
