// Question: how does an operation become kernel calls?
//
// An implementation turns a node into calls: it gives the operands and words of each kernel by name, and says of every
// operand whether a task touches all of it or only its share of the items. Most are one call: `rowwise` (one item per
// token row) or `elementwise` (any cut of the elements).

import { named, type Named, type Names } from "../../graph/named.ts";
import { type Operation, rowCount, sizeOf, type Tensor } from "../../graph/tensor.ts";
import { stateOf } from "../../graph/state.ts";
import { toBfloat16Operation, toFloat32Operation } from "../../ops/bfloat16.ts";
import type { Buffer, Operand } from "../plan/calls.ts";
import {
  type InPlace,
  inPlacePairs,
  type KernelCall,
  type KernelName,
  operandList,
  type PointerName,
  type Pointers,
  wordList,
  type Words,
} from "./call.ts";
import { ROW_TILE, SUM_COLUMNS } from "./constants.ts";
import type { Lowering, LoweringContext } from "../plan/machine.ts";

/** How the CPU does an operation. */
export interface Implementation {
  readonly op: Operation;
  readonly lowering: Lowering;
}

/** The inputs and outputs of a node by name. */
export type Tensors<I extends Names, O extends Names> = Named<I, Tensor> & Named<O, Tensor>;

/** A task touches the whole operand, or only its share of the items. */
export type Cut = "whole" | "share";

/** What an implementation makes calls with. */
export interface Calls {
  /** Columns of a packed panel of a matrix product. */
  readonly panelWidth: number;
  /** Only for choosing sizes of tasks where no result depends on them. */
  readonly threads: number;
  /** Whether panels of a parameter are packed once for many runs. */
  readonly steady: boolean;
  read(source: Tensor | Buffer, cut: Cut): Operand;
  write(target: Tensor | Buffer, cut: Cut): Operand;
  /** Where an operation's elements are counted; see the word `item` of elementwise kernels. */
  itemOf(tensor: Tensor): { readonly itemOf: Buffer };
  temporary(name: string, bytes: number): Buffer;
  /** Let a view share its source's buffer. */
  alias(view: Tensor, source: Tensor): void;
  emit<K extends KernelName>(call: KernelCall<K>): void;
}

/**
 * An operation in as many calls as it takes.
 *
 * @param lower makes the calls; it gets an addend only where `accumulates` is set: first output = addend + result
 */
export function implement<I extends Names, O extends Names, A>(
  op: Operation<I, O, A>,
  lower: (tensors: Tensors<I, O>, calls: Calls, attributes: A, addend: Tensor | undefined) => void,
  { accumulates = false }: { accumulates?: boolean } = {},
): Implementation {
  return {
    op,
    lowering: {
      accumulates,
      lower(node, context, addend) {
        const tensors = { ...named(op.inputs, node.inputs), ...named(op.outputs, node.outputs) };
        lower(tensors, callsOf(context), node.attributes as A, addend);
      },
    },
  };
}

function callsOf(context: LoweringContext): Calls {
  const operand = (access: Operand["access"], where: Tensor | Buffer, cut: Cut): Operand => ({
    buffer: "bytes" in where ? where : context.buffer(where),
    access,
    aligned: cut === "share",
  });
  return {
    panelWidth: context.panelWidth,
    threads: context.threads,
    steady: context.steady,
    read: (source, cut) => operand("read", source, cut),
    write: (target, cut) => operand("write", target, cut),
    itemOf: (tensor) => ({ itemOf: context.buffer(tensor) }),
    temporary: context.temporary,
    alias: context.alias,
    emit: ({ kernel, operands, words, inPlace, ...call }) =>
      context.emit({
        ...call,
        kernel,
        operands: operandList(kernel, operands),
        words: wordList(kernel, words),
        inPlace: inPlace ? inPlacePairs(kernel, inPlace) : [],
      }),
  };
}

type PlainName<N> = N extends `...${infer P}` ? P : N;
type TensorName<I extends Names, O extends Names> = PlainName<I[number] | O[number]>;
/** The kernels all of whose pointers have the names of an operation's tensors. */
type Fitting<I extends Names, O extends Names> = {
  [K in KernelName]: PointerName<K> extends TensorName<I, O> ? K : never;
}[KernelName];

interface OneCall<I extends Names, K extends KernelName> {
  /** Inputs that every task needs whole, such as a scalar; of all others it takes its share. */
  readonly whole?: readonly I[number][];
  /** Outputs that may be written in the place of inputs. */
  readonly inPlace?: InPlace<K>;
}

export interface RowwiseOptions<I extends Names, O extends Names, A, K extends KernelName> extends OneCall<I, K> {
  /** Number of rows; default: rows of the first input (all axes but the last). */
  readonly rows?: (tensors: Tensors<I, O>, attributes: A) => number;
  readonly words: (tensors: Tensors<I, O>, attributes: A) => Words<K>;
}

/** One call, one item per row, tiles of ROW_TILE rows. The kernel's pointers have the names of the operation's tensors. */
export function rowwise<I extends Names, O extends Names, A, K extends Fitting<I, O>>(
  op: Operation<I, O, A>,
  kernel: K,
  { rows, whole, inPlace, words }: RowwiseOptions<I, O, A, K>,
): Implementation {
  return implement(op, (tensors, calls, attributes) => {
    const [first] = op.inputs;
    const source = first === undefined ? undefined : (tensors as Readonly<Record<string, Tensor>>)[first];
    const domain = rows?.(tensors, attributes) ?? (source ? rowCount(source.shape) : 1);
    const operands = operandsOf<I, O, A, K>(op, tensors, calls, whole);
    calls.emit({ kernel, domain, grain: ROW_TILE, operands, words: words(tensors, attributes), inPlace });
  });
}

/** What is left to say of the words of an elementwise kernel. */
type Constants<K extends KernelName> = Omit<Words<K>, "item" | "all">;

/** One call over all elements of the one output, cut wherever it suits. */
export function elementwise<I extends Names, O extends Names, A, K extends Fitting<I, O>>(
  op: Operation<I, O, A>,
  kernel: K,
  {
    whole,
    inPlace,
    words,
  }: OneCall<I, K> & { readonly words: (tensors: Tensors<I, O>, attributes: A) => Constants<K> },
): Implementation {
  return implement(op, (tensors, calls, attributes) => {
    const output = (tensors as Readonly<Record<string, Tensor>>)[op.outputs[0] ?? ""];
    if (!output) throw new Error(`${op.name}: an elementwise operation has an output.`);
    calls.emit({
      kernel,
      domain: undefined,
      grain: 1,
      operands: operandsOf<I, O, A, K>(op, tensors, calls, whole),
      words: { item: calls.itemOf(output), all: sizeOf(output.shape), ...words(tensors, attributes) } as Words<K>,
      inPlace,
    });
  });
}

/** An operand for each pointer: the tensor of that name. */
function operandsOf<I extends Names, O extends Names, A, K extends KernelName>(
  op: Operation<I, O, A>,
  tensors: Tensors<I, O>,
  { read, write }: Calls,
  whole: readonly string[] = [],
): Pointers<K, Operand> {
  const operands: Record<string, Operand | readonly Operand[]> = {};
  for (const [name, value] of Object.entries<Tensor | readonly Tensor[]>(tensors)) {
    const cut = whole.includes(name) ? "whole" : "share";
    const written = op.outputs.includes(name) || op.outputs.includes(`...${name}`);
    const operandOf = (tensor: Tensor): Operand => (written ? write(tensor, "share") : read(tensor, cut));
    operands[name] = Array.isArray(value) ? value.map(operandOf) : operandOf(value as Tensor);
  }
  return operands as unknown as Pointers<K, Operand>;
}

/** No call: the output is the input's memory under another shape. */
export function view<A>(op: Operation<["x"], ["y"], A>): Implementation {
  return implement(op, ({ x, y }, { alias }) => alias(y, x));
}

/** Panels packed by one task. */
export const PACK_GRAIN = 4;

/**
 * A matrix packed for the GEMM's kernels, `inner` by `columns`.
 *
 * @param stride elements between the rows of the matrix as it lies
 * @param transposed it lies as `columns` by `inner`
 */
export function packed(
  { panelWidth, read, write, temporary, emit }: Calls,
  matrix: Tensor,
  layout: { inner: number; columns: number; stride: number; transposed: boolean },
): Buffer {
  const { inner, columns, stride, transposed } = layout;
  const { source, rounded } = weightOf(matrix);
  const panels = Math.ceil(columns / panelWidth);
  const panelsOf = temporary("packed", 4 * panels * panelWidth * inner);
  emit({
    kernel: "packB",
    domain: panels,
    grain: PACK_GRAIN,
    flops: 0,
    prepares: true,
    operands: { B: read(source, "whole"), packed: write(panelsOf, "whole") },
    words: { K: inner, N: columns, ldb: stride, transposed: transposed ? 1 : 0, rounded },
  });
  return panelsOf;
}

/** A matrix as it lies; of a weight that was rounded to bfloat16 the weight itself, which is rounded as it is used. */
export function weightOf(matrix: Tensor): { readonly source: Tensor; readonly rounded: 0 | 1 } {
  const narrow = inputsOf(matrix, toFloat32Operation)?.narrow;
  const source = narrow && inputsOf(narrow, toBfloat16Operation)?.x;
  return source && stateOf(source) ? { source, rounded: 1 } : { source: matrix, rounded: 0 };
}

/** Add `count` partial sums of the output's size in their order. */
export function sumPartials({ read, write, emit }: Calls, partials: Buffer, out: Tensor, count: number): void {
  const size = sizeOf(out.shape);
  emit({
    kernel: "sumPartials",
    domain: Math.ceil(size / SUM_COLUMNS),
    grain: 1,
    operands: { partials: read(partials, "whole"), y: write(out, "whole") },
    words: { count, size },
  });
}

/** The inputs, by name, of the node that a tensor comes from, if it is of this operation. */
export function inputsOf<I extends Names, O extends Names, A>(
  { node }: Tensor,
  op: Operation<I, O, A>,
): Named<I, Tensor> | undefined {
  return (node.op as unknown) === op ? named(op.inputs, node.inputs) : undefined;
}
