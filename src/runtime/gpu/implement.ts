// Question: how does an operation become work of a GPU?
//
// `elements` says what one element of the result is; `kernel` gives a body. Both name the operation's tensors as the
// operation does.

import type { Named, Names } from "../../graph/named.ts";
import { type Operation, operandsOf, sizeOf, type Tensor } from "../../graph/tensor.ts";
import type { Buffer, Call, Operand } from "../plan/calls.ts";
import type { Lowering, LoweringContext } from "../plan/machine.ts";
import { narrowSource } from "../plan/stored.ts";
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

/** Where the values of a tensor lie, and how. */
export interface Source {
  readonly buffer: Buffer;
  readonly type: ElementType;
  /** As bfloat16, two in a u32: a text that reads `x[i]` has the float32 (see `widenReads`). */
  readonly narrow?: boolean;
}

function typeOf({ dtype }: Pick<Tensor, "dtype">): ElementType {
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
          const source = operand(context, node.inputs[op.inputs.indexOf(name)]!);
          return { ...source, name, index: (indices as Record<string, string>)[name] ?? "i" };
        });
        const text = value(attributes, tensors);
        emitElements(context, {
          reads,
          write: operand(context, output),
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
  readonly reads: readonly (Source & { readonly name: string; readonly index: string })[];
  readonly write: Source;
  readonly value: string;
  readonly size: number;
}

/** The call of elementwise work, but for what the context adds. */
export function elementCall({ name, reads, write, value: exact, size }: ElementCall): Omit<Call, "label" | "flops"> {
  // Rounded here: what the rest of a chain sees of it is what is stored.
  const value = write.type === "bf16" ? `fromBits(toBfloat16(${exact}) << 16u)` : exact;
  const work: GpuWork = {
    kind: "elements",
    reads: reads.map((operand) => ({
      name: operand.name,
      type: operand.type,
      index: operand.index,
      ...(operand.narrow && { narrow: true }),
    })),
    type: write.type,
    ...(write.narrow && { narrow: true }),
    value,
    functions: functionsFor([value, ...reads.map(({ index }) => index)].join("\n")),
    size,
  };
  const aligned = reads.map(({ index }) => index === "i");
  return {
    kernel: name,
    domain: undefined,
    grain: 1,
    elements: size,
    // A chain is one kernel: what is done ahead of it would have to be stored.
    stays: true,
    operands: [
      ...reads.map(({ buffer }, at): Operand => ({ buffer, access: "read", aligned: aligned[at]! })),
      { buffer: write.buffer, access: "write", aligned: true },
    ],
    words: [],
    // Threads load before they store, each its own element: any operand that is read at `i` alone may be written over.
    inPlace: reads.flatMap(({ buffer, type, narrow = false }, at) =>
      type === write.type &&
      narrow === (write.narrow ?? false) &&
      reads.every((other, k) => other.buffer !== buffer || aligned[k])
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
  readonly reads: Readonly<Record<string, Source>>;
  /** A narrow one is written in whole words by the body itself. */
  readonly writes: Readonly<Record<string, Source>>;
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
  const { name, reads, writes, functions = [], numbers, width, groups, lazy, inPlace = {}, check, flops } = call;
  const names = [...Object.keys(reads), ...Object.keys(writes)];
  const operands = [...Object.values(reads), ...Object.values(writes)];
  const narrow = new Set(names.filter((each) => reads[each]?.narrow));
  const body = narrow.size > 0 ? widenReads(call.body, narrow) : call.body;
  const isNarrow = (each: string): boolean => (reads[each] ?? writes[each])?.narrow === true;
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
    inPlace: Object.entries(inPlace)
      .filter((pair) => !pair.some(isNarrow))
      .map(([to, from]) => [names.indexOf(from), names.indexOf(to)] as const),
    work,
    ...(lazy && { lazy }),
    ...(flops !== undefined && { flops }),
  };
}

/**
 * A tensor as an operand of a kernel, in the form in which it is stored; where kernels have no operands of bfloat16, one
 * that was only widened from it is read where it is narrow.
 */
export function operand(context: LoweringContext, tensor: Tensor): Source {
  const { buffer, dtype } = context.stored(tensor);
  if (dtype !== tensor.dtype) return { buffer, type: dtype };
  const narrow = narrowSource(tensor);
  if (narrow) return { buffer: context.buffer(narrow), type: "u32", narrow: true };
  if (context.isRounded(tensor)) return { buffer, type: "u32", narrow: true };
  return { buffer, type: typeOf(tensor) };
}

/** A text in which `x[i]` of the narrow operands is the float32 of the bfloat16 there. */
export function widenReads(text: string, narrow: ReadonlySet<string>): string {
  const pattern = /\b([A-Za-z]\w*)\[/g;
  let result = "";
  let at = 0;
  for (let found = pattern.exec(text); found; found = pattern.exec(text)) {
    const name = found[1] ?? "";
    if (!narrow.has(name)) continue;
    const begin = pattern.lastIndex;
    let end = begin;
    for (let depth = 1; depth > 0; end++) {
      if (text[end] === "[") depth++;
      else if (text[end] === "]") depth--;
      else if (end >= text.length) throw new Error(`widenReads: a bracket after ${name} is not closed.`);
    }
    const index = widenReads(text.slice(begin, end - 1), narrow);
    result += `${text.slice(at, found.index)}widened(${name}[(${index}) / 2u], ${index})`;
    at = end;
    pattern.lastIndex = end;
  }
  return result + text.slice(at);
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
  options: Omit<Lowering, "lower"> = {},
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
): Source {
  return { buffer: context.temporary(name, 4 * elementsCount), type };
}
