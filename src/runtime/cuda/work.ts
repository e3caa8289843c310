// Question: which work has only a GPU by CUDA?
//
// What every GPU does is text in WGSL's subset (gpu/work.ts) and is translated. Two kinds are CUDA's own: a kernel that
// is written in CUDA C++ by hand, and a matrix product by cuBLASLt.

import type { IndexCheck } from "../gpu/work.ts";

/**
 * What an operand of a hand-made kernel holds; `bf16` is an unsigned short with the upper half of a float32, `e4m3` an
 * unsigned char.
 */
export type CudaType = "f32" | "i32" | "u32" | "bf16" | "e4m3";

/**
 * A kernel in CUDA C++; the operands are in the order of the call's. The body knows each operand as a pointer of its
 * name, `group` and `lane` (u32), and, where `sharedBytes` is more than 0, `shared`, an `unsigned char*` aligned to 16.
 * What the prelude has (prelude.ts) may be used; assembly may not, for the tests run every kernel on a processor too.
 */
export interface CudaWork {
  readonly kind: "cuda";
  readonly operands: readonly { readonly name: string; readonly type: CudaType }[];
  /** Device functions, constants and `__shared__` arrays of the kernel's own: they lie in a namespace of its own. */
  readonly declarations: readonly string[];
  readonly body: string;
  /** Threads of a group. */
  readonly width: number;
  readonly groups: number;
  /** How many groups a multiprocessor should hold at once: the compiler then spends registers accordingly. */
  readonly groupsAtOnce?: number;
  /** Bytes of shared memory beside that of the declarations; default 0. */
  readonly sharedBytes?: number;
  readonly check?: IndexCheck;
}

/** What the numbers of a product's operand are kept in. */
export type ProductType = "f32" | "bf16";

/** C = A B by cuBLASLt, or A B + addend, sums in float32; the operands are a, b, the addend where there is one, and c. */
export interface ProductWork {
  readonly kind: "product";
  readonly batch: number;
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly types: Readonly<Record<"a" | "b" | "c", ProductType>>;
  readonly accumulates: boolean;
}
