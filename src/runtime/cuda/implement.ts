// Question: how is a kernel in CUDA C++ called?

import type { Buffer, Call, Operand } from "../plan/calls.ts";
import type { IndexCheck } from "../gpu/work.ts";
import type { LoweringContext } from "../plan/machine.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { CudaType, CudaWork } from "./work.ts";

/** A buffer, and what lies in it. */
export interface CudaPlace {
  readonly buffer: Buffer;
  readonly type: CudaType;
}

/** A kernel in CUDA C++ and its operands, by the names that its body uses. */
export interface CudaCall {
  readonly name: string;
  readonly reads: Readonly<Record<string, CudaPlace>>;
  readonly writes: Readonly<Record<string, CudaPlace>>;
  readonly declarations?: readonly string[];
  readonly body: string;
  readonly width: number;
  readonly groups: number;
  readonly groupsAtOnce?: number;
  readonly sharedBytes?: number;
  /** What may be written over what: the written operand and those it may lie in. */
  readonly inPlace?: Readonly<Record<string, string>>;
  readonly check?: IndexCheck;
  readonly flops?: number;
}

/** Each thread of a group touches, of an operand that may share its place, only what it alone reads and writes. */
export function cudaCall(call: CudaCall): Omit<Call, "label" | "flops"> & { flops?: number } {
  const { name, reads, writes, inPlace = {}, flops, check, declarations = [], ...rest } = call;
  const names = [...Object.keys(reads), ...Object.keys(writes)];
  const places = [...Object.values(reads), ...Object.values(writes)];
  const shared = new Set([...Object.keys(inPlace), ...Object.values(inPlace)]);
  const { body, width, groups, groupsAtOnce, sharedBytes } = rest;
  const work: CudaWork = {
    kind: "cuda",
    operands: places.map(({ type }, at) => ({ name: names[at]!, type })),
    declarations,
    body,
    width,
    groups,
    ...(groupsAtOnce !== undefined && { groupsAtOnce }),
    ...(sharedBytes !== undefined && { sharedBytes }),
    ...(check && { check }),
  };
  return {
    kernel: name,
    domain: groups,
    grain: 2,
    operands: places.map(({ buffer }, at): Operand => {
      return { buffer, access: at < Object.keys(reads).length ? "read" : "write", aligned: shared.has(names[at]!) };
    }),
    words: [],
    inPlace: Object.entries(inPlace).map(([to, from]) => [names.indexOf(from), names.indexOf(to)] as const),
    work,
    ...(flops !== undefined && { flops }),
  };
}

/** A tensor as an operand, in the form in which it is stored. */
export function cudaOperand(context: LoweringContext, tensor: Tensor): CudaPlace {
  const { buffer, dtype } = context.stored(tensor);
  return { buffer, type: dtype };
}

/** A tensor as an operand in float32, whatever form it is stored in. */
export function floatOperand(context: LoweringContext, tensor: Tensor): CudaPlace {
  return { buffer: context.buffer(tensor), type: "f32" };
}

/** A buffer of the node's own. */
export function cudaTemporary(context: LoweringContext, name: string, bytes: number, type: CudaType): CudaPlace {
  return { buffer: context.temporary(name, bytes), type };
}
