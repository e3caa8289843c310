// Question: what does the plan ask of a machine?
//
// Its numbers, and for each operation a rule that turns a node into calls of its kernels. A kernel's arguments are,
// in order, buffers and scalar words.

import type { DType, Node, Operation, Tensor, TensorSpec } from "../../graph/tensor.ts";
import type { Device } from "../device.ts";
import type { ProgramSpec } from "../program.ts";
import type { Buffer, Call, CompiledPlan } from "./calls.ts";

/** What programs are planned for; a runtime has one, and there may be one without a runtime. */
export interface Machine {
  readonly name: string;
  readonly device: Device;
  /** How the machine does an operation; undefined when it has no kernel for it. */
  implementationOf(op: Operation): Lowering | undefined;
  /** A call of the machine's kernel that copies one buffer to another of the same size. */
  copy(label: string, from: Buffer, to: Buffer): Call;
  /** The same with another number of threads. */
  withThreads(threads: number): Machine;
  /** Whether its rules ask for the stored form of their operands: casts to and from bfloat16 are then done where values are used and made. */
  readonly takesStored?: boolean;
  /** Whether its runtime runs programs in parts, between which passing values can be looked at. */
  readonly runsInParts?: boolean;
  /** A memory like the runtime's, in which nothing lies: it only counts. */
  plannedMemory(): PlannedMemory;
}

/** Places of states and programs, as a runtime would give them. */
export interface PlannedMemory {
  /** Make a state's place, unless it has one. */
  addState(tensor: Tensor): void;
  /** Give up a state's place. */
  forget(tensor: Tensor): void;
  /** Compile a program and give it a place; and one to the lists of its parts, where they take any. */
  place(spec: ProgramSpec): { readonly plan: CompiledPlan; release(): void; placeParts?(): void };
  /** What the memory has grown to. */
  usedBytes(): number;
}

/** A value in memory. */
export interface Stored {
  readonly buffer: Buffer;
  readonly dtype: DType;
}

/** What a rule is given to turn a node into calls. */
export interface LoweringContext {
  /** Columns of a packed panel of a matrix product. */
  readonly panelWidth: number;
  /** Only for choosing sizes of tasks where no result depends on them. */
  readonly threads: number;
  /** Whether what calls prepare of the parameters is kept from run to run. */
  readonly steady: boolean;
  buffer(tensor: Tensor): Buffer;
  /**
   * Where a value lies and in which form: an operand that is widened bfloat16 lies there before it is widened, and a
   * result of which only the rounding to bfloat16 is read need not lie in memory otherwise. Who asks must read or write
   * that form. On a machine that does not take stored forms it is the tensor's own.
   */
  stored(tensor: Tensor): Stored;
  /** Whether the kernel is to store this output as bfloat16: only outputs of rules that round are. */
  isRounded(tensor: Tensor): boolean;
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
  /** Of an operation that fusions make: whether the kernel can do it for such inputs. Elsewhere it is composed of simpler ones. */
  fits?(inputs: readonly TensorSpec[], attributes: object): boolean;
  /** Whether the kernel of a node can store its first output as bfloat16: rounding it costs nothing. */
  rounds?(node: Node): boolean;
}
