// Question: how does an operation become work of a GPU?
//
// `elements` says what one element of the result is; `kernel` gives a body. Both name the operation's tensors as the
// operation does.

import type { Named, Names } from "../../graph/named.ts";
import { type Operation, operandsOf, sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { Buffer, Call, Operand } from "../plan/calls.ts";
import type { Lowering, LoweringContext } from "../plan/machine.ts";
import { functionsFor } from "./functions.ts";
import type { ElementType, GpuWork, IndexCheck } from "./work.ts";

/** How a GPU does an operation. */
export interface Implementation {
  readonly op: Operation;
  readonly lowering: Lowering;
}

export type Tensors<I extends Names, O extends Names> = Named<I, Tensor> & Named<O, Tensor>;

/** Calls do not chain by rows: only elementwise work is fused. */
const NO_CHAIN = 2;

export function typeOf({ dtype }: Pick<Tensor, "dtype">): ElementType {
  return dtype === "bf16" ? "u32" : dtype;
}

/** A u32 as text. */
export const u = (value: number): string => `${value}u`;

export interface ElementRule<I extends Names, O extends Names, A> {
  /** Index of each input for the element `i`, where it is not `i`. In the order of the inputs. */
  index?(tensors: Tensors<I, O>, attributes: A): Partial<Record<I[number], string>>;
  /** The inputs in the order in which they are loaded: an index may use values that come before it. */
  readonly order?: readonly I[number][];
  value(attributes: A, tensors: Tensors<I, O>): string;
}

/** An operation with one output, each element of which is an expression of elements of the inputs. */
export function elements<I extends Names, O extends readonly [string], A>(
  op: Operation<I, O, A>,
  { index, order, value }: ElementRule<I, O, A>,
): Implementation {
  return {
    op: op,
    lowering: {
      lower(node, context) {
        const tensors = operandsOf(op, node) as Tensors<I, O>;
        const attributes = node.attributes as A;
        const indices = index?.(tensors, attributes) ?? {};
        const output = node.outputs[0]!;
        const names: readonly string[] = order ?? op.inputs;
        const reads = names.map((name) => {
          const tensor = node.inputs[op.inputs.indexOf(name)]!;
          return { tensor, name, type: typeOf(tensor), index: (indices as Record<string, string>)[name] ?? "i" };
        });
        const text = value(attributes, tensors);
        emitElements(context, {
          reads: reads.map(({ tensor, ...operand }) => ({ buffer: context.buffer(tensor), ...operand })),
          write: { buffer: context.buffer(output), type: typeOf(output) },
          value: text,
          size: sizeOf(output.shape),
          name: op.name,
        });
      },
    },
  };
}

export interface ElementCall {
  readonly name: string;
  readonly reads: readonly {
    readonly buffer: Buffer;
    readonly name: string;
    readonly type: ElementType;
    readonly index: string;
  }[];
  readonly write: { readonly buffer: Buffer; readonly type: ElementType };
  readonly value: string;
  readonly size: number;
}

/** The call of elementwise work, but for what the context adds. */
export function elementCall({ name, reads, write, value, size }: ElementCall): Omit<Call, "label" | "flops"> {
  const work: GpuWork = {
    kind: "elements",
    reads: reads.map((operand) => ({ name: operand.name, type: operand.type, index: operand.index })),
    type: write.type,
    value,
    functions: functionsFor([value, ...reads.map(({ index }) => index)].join("\n")),
    size,
  };
  const aligned = reads.map(({ index }) => index === "i");
  return {
    kernel: name,
    domain: undefined,
    grain: 1,
    // A chain is one kernel: what is done ahead of it would have to be stored.
    stays: true,
    operands: [
      ...reads.map(({ buffer }, at): Operand => ({ buffer, access: "read", aligned: aligned[at]! })),
      { buffer: write.buffer, access: "write", aligned: true },
    ],
    words: [],
    // Threads load before they store, each its own element: any operand that is read at `i` alone may be written over.
    inPlace: reads.flatMap(({ buffer, type }, at) =>
      type === write.type && reads.every((other, k) => other.buffer !== buffer || aligned[k])
        ? [[at, reads.length] as const]
        : [],
    ),
    work,
  };
}

function emitElements(context: LoweringContext, call: ElementCall): void {
  context.emit(elementCall(call));
}

/** A kernel's call: operands by the names that its body uses. */
export interface KernelCall {
  readonly name: string;
  readonly reads: Readonly<Record<string, { readonly buffer: Buffer; readonly type: ElementType }>>;
  readonly writes: Readonly<Record<string, { readonly buffer: Buffer; readonly type: ElementType }>>;
  /** Declarations of the kernel's own. */
  readonly functions?: readonly string[];
  readonly body: string;
  /** Numbers that the body knows by name: other calls with the same body may join (see ManyWork). */
  readonly numbers?: Readonly<Record<string, number>>;
  readonly width: number;
  readonly groups: number;
  /** Runs when its result is needed, not as early as it can, so that it may join others. */
  readonly lazy?: boolean;
  /** What may be written over what: the written operand and those it may lie in. */
  readonly inPlace?: Readonly<Record<string, string>>;
  readonly check?: IndexCheck;
  readonly flops?: number;
}

export function kernelCall(call: KernelCall): Omit<Call, "label" | "flops"> & { flops?: number } {
  const { name, reads, writes, functions = [], body, numbers, width, groups, lazy, inPlace = {}, check, flops } = call;
  const names = [...Object.keys(reads), ...Object.keys(writes)];
  const operands = [...Object.values(reads), ...Object.values(writes)];
  // What may lie in one place is read and written there by one thread.
  const shared = new Set([...Object.keys(inPlace), ...Object.values(inPlace)]);
  const work: GpuWork = {
    ...(numbers ? { kind: "many", numbers } : { kind: "kernel" }),
    operands: operands.map(({ type }, at) => ({ name: names[at]!, type })),
    functions: [...functionsFor([...functions, body].join("\n")), ...functions],
    body,
    width,
    groups,
    ...(check && { check }),
  };
  return {
    kernel: name,
    domain: groups,
    grain: NO_CHAIN,
    operands: operands.map(({ buffer }, at): Operand => {
      return { buffer, access: at < Object.keys(reads).length ? "read" : "write", aligned: shared.has(names[at]!) };
    }),
    words: [],
    inPlace: Object.entries(inPlace).map(([to, from]) => [names.indexOf(from), names.indexOf(to)] as const),
    work,
    ...(lazy && { lazy }),
    ...(flops !== undefined && { flops }),
  };
}

/** A tensor as an operand of a kernel. */
export function operand(context: LoweringContext, tensor: Tensor): { buffer: Buffer; type: ElementType } {
  return { buffer: context.buffer(tensor), type: typeOf(tensor) };
}

/** A rule that emits its own calls. */
export function calls<I extends Names, O extends Names, A>(
  op: Operation<I, O, A>,
  lower: (
    tensors: Tensors<I, O>,
    attributes: A,
    context: LoweringContext,
    addend: Tensor | undefined,
    scope: string,
  ) => void,
  options: { readonly accumulates?: boolean } = {},
): Implementation {
  return {
    op: op,
    lowering: {
      ...options,
      lower: (node, context, addend) => lower(operandsOf(op, node), node.attributes as A, context, addend, node.scope),
    },
  };
}

/** A buffer of the node's own. */
export function temporary(
  context: LoweringContext,
  name: string,
  elementsCount: number,
  type: ElementType = "f32",
): { buffer: Buffer; type: ElementType } {
  return { buffer: context.temporary(name, 4 * elementsCount), type };
}
